// Runs a device's jobs slice by slice, in the order they came as far as they touch the same things: one at a time with all
// threads, or several side by side with a thread each.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace magrpo::binding {

// A unit of work for an executor. `reads` and `writes` name what it touches (addresses of decoders and policies): a job waits
// for earlier jobs that write what it touches or touch what it writes; others share the thread in turns, so that a short
// request never waits for a whole training step.
class Task {
 public:
  virtual ~Task() = default;
  // Runs one slice; returns true when the task is done. Never throws.
  virtual bool advance() = 0;
  // Called once, on the executor thread, after the last slice, with the executor's pointer: it keeps none.
  virtual void finished(std::shared_ptr<Task> self) = 0;

  std::vector<const void*> reads;
  std::vector<const void*> writes;
  // Runs on one thread, beside other such tasks. What it computes never depends on whether there are any.
  bool one_thread = false;
};

class Executor {
 public:
  // The executor of a device ("cpu", "cuda:0", ...), started at its first use; it lives as long as the process.
  static Executor& of(const std::string& device);

  void submit(std::shared_ptr<Task> task);

 private:
  struct Entry {
    std::shared_ptr<Task> task;
    uint64_t last_turn = 0;
    bool is_running = false;
  };

  Executor();
  // What each thread does: the one that has all threads at its command, and the lanes, which have none but themselves.
  void run(bool is_lane);
  void start_lanes();
  // The next three with the lock held.
  // The task whose turn it is, null if there is none: that which has waited longest for a slice among those nothing holds back.
  Entry* next();
  // The task whose turn it is, if this kind of thread may run it now: lanes side by side, but nothing beside a task of all threads.
  std::shared_ptr<Task> take(bool is_lane);
  void wake();

  std::mutex mutex_;
  std::condition_variable wake_main_, wake_lanes_;
  std::vector<Entry> queue_;  // in order of submission; what runs stays in it
  uint64_t turn_ = 0;
  int lanes_ = 0, busy_lanes_ = 0;
  bool main_is_busy_ = false;
};

// Intra-op threads of the CPU executor, from its next slice on.
void set_intra_op_threads(int count);
int intra_op_threads();

}  // namespace magrpo::binding
