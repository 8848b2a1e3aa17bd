// Runs a device's tasks slice by slice. Tasks that touch the same objects run in order of submission. A task runs either alone with all
// threads, or on one thread beside other such tasks.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace magrpo::binding {

// A unit of work for an executor. `reads` and `writes` hold the objects that it touches (addresses of decoders and policies): it waits for
// earlier tasks that write one of them, or touch one that it writes. Independent tasks alternate, so that a short request never waits
// for a whole training step.
class Task {
 public:
  virtual ~Task() = default;
  // Runs one slice; returns true when the task is done. Never throws.
  virtual bool advance() = 0;
  // Called once, on the executor thread, after the last slice. `self` is the executor's own pointer, moved.
  virtual void finished(std::shared_ptr<Task> self) = 0;

  std::vector<const void*> reads;
  std::vector<const void*> writes;
  // Runs on one thread, beside other such tasks. Its results never depend on them.
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
    uint64_t last_slice = 0;
    bool is_running = false;
  };

  Executor();
  // Thread main loop. The main thread may use the intra-op pool; a worker computes single-threaded.
  void run(bool is_worker);
  void start_workers();
  // Call the next three with the lock held.
  // Of the tasks that no earlier one blocks, the one that has waited longest for a slice; null if there is none.
  Entry* next_runnable();
  // The next runnable task if this kind of thread may run it now: workers run side by side, but not beside the main thread.
  std::shared_ptr<Task> try_dequeue(bool is_worker);
  void wake();

  std::mutex mutex_;
  std::condition_variable wake_main_, wake_workers_;
  std::vector<Entry> queue_;  // in order of submission, running tasks included
  uint64_t slice_ = 0;
  int workers_ = 0, busy_workers_ = 0;
  bool main_is_busy_ = false;
};

// Intra-op threads of the CPU executor, from its next slice on.
void set_intra_op_threads(int count);
int intra_op_threads();

}  // namespace magrpo::binding
