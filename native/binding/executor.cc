#include "binding/executor.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <map>
#include <thread>

namespace magrpo::binding {
namespace {

std::atomic<int> wanted_threads{0};  // 0: libtorch's own choice

bool overlap(const std::vector<const void*>& a, const std::vector<const void*>& b) {
  return std::any_of(a.begin(), a.end(), [&](const void* x) { return std::find(b.begin(), b.end(), x) != b.end(); });
}

bool conflict(const Task& earlier, const Task& later) {
  return overlap(earlier.writes, later.writes) || overlap(earlier.writes, later.reads) || overlap(earlier.reads, later.writes);
}

}  // namespace

Executor& Executor::of(const std::string& device) {
  // Never destroyed: a thread that waits for work must not outlive what it waits on.
  static auto* mutex = new std::mutex;
  static auto* executors = new std::map<std::string, Executor*>;
  const std::lock_guard<std::mutex> lock(*mutex);
  auto& executor = (*executors)[device];
  if (executor == nullptr) executor = new Executor;
  return *executor;
}

Executor::Executor() {
  std::thread([this] { run(); }).detach();
}

void Executor::submit(std::shared_ptr<Task> task) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back({std::move(task), 0});
  }
  wake_.notify_one();
}

int64_t Executor::next() const {
  int64_t best = -1;
  for (size_t i = 0; i < queue_.size(); ++i) {
    if (best >= 0 && queue_[i].last_turn >= queue_[best].last_turn) continue;
    const bool blocked = std::any_of(queue_.begin(), queue_.begin() + static_cast<int64_t>(i),
                                     [&](const Entry& earlier) { return conflict(*earlier.task, *queue_[i].task); });
    if (!blocked) best = static_cast<int64_t>(i);
  }
  return best;
}

void Executor::run() {
  int threads = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return !queue_.empty(); });
    Entry& entry = queue_[next()];
    entry.last_turn = ++turn_;
    std::shared_ptr<Task> task = entry.task;
    lock.unlock();
    // The count is a property of the calling thread, so it is set here and not where JavaScript asked for it.
    if (const int wanted = wanted_threads.load(); wanted != threads && wanted > 0) at::set_num_threads(threads = wanted);
    const bool done = task->advance();
    lock.lock();
    if (!done) continue;
    queue_.erase(std::find_if(queue_.begin(), queue_.end(), [&](const Entry& e) { return e.task == task; }));
    lock.unlock();
    Task& ended = *task;
    ended.finished(std::move(task));
    lock.lock();
  }
}

void set_intra_op_threads(int count) { wanted_threads.store(count); }

int intra_op_threads() { return wanted_threads.load() > 0 ? wanted_threads.load() : at::get_num_threads(); }

}  // namespace magrpo::binding
