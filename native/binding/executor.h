// One thread a device that runs jobs slice by slice, in the order they came as far as they touch the same things. Jobs of one
// thread each run side by side.
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
  };

  Executor();
  void run();
  // The runnable tasks, those that have waited longest for a slice first. Call with the lock held.
  std::vector<size_t> runnable() const;
  // The tasks to run now: one, or several of one thread each. Call with the lock held.
  std::vector<std::shared_ptr<Task>> next();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Entry> queue_;  // in order of submission
  uint64_t turn_ = 0;
};

// Intra-op threads of the CPU executor, from its next slice on.
void set_intra_op_threads(int count);
int intra_op_threads();

}  // namespace magrpo::binding
