#include "binding/executor.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
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

// Tasks of one thread each take slices side by side until all had their share of time: they meet seldom, so that one which is held
// up (by another program on its core, say) does not hold up the others at every token.
void run_side_by_side(const std::vector<std::shared_ptr<Task>>& tasks, std::vector<char>& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  // A range of two at least: within a parallel region libtorch's operations stay on their thread, and one task alone must compute
  // what it computes beside others.
  at::parallel_for(0, std::max<int64_t>(2, static_cast<int64_t>(tasks.size())), 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < std::min(last, static_cast<int64_t>(tasks.size())); ++i) do {
        done[i] = tasks[i]->advance();
      } while (!done[i] && std::chrono::steady_clock::now() < end);
  });
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

std::vector<size_t> Executor::runnable() const {
  std::vector<size_t> found;
  for (size_t i = 0; i < queue_.size(); ++i) {
    const bool blocked = std::any_of(queue_.begin(), queue_.begin() + static_cast<int64_t>(i),
                                     [&](const Entry& earlier) { return conflict(*earlier.task, *queue_[i].task); });
    if (!blocked) found.push_back(i);
  }
  std::stable_sort(found.begin(), found.end(), [this](size_t a, size_t b) { return queue_[a].last_turn < queue_[b].last_turn; });
  return found;
}

std::vector<std::shared_ptr<Task>> Executor::next() {
  const std::vector<size_t> found = runnable();
  const bool one_thread = queue_[found.front()].task->one_thread;
  std::vector<std::shared_ptr<Task>> tasks;
  for (const size_t i : found) {
    const bool fits = one_thread && queue_[i].task->one_thread && tasks.size() < static_cast<size_t>(at::get_num_threads());
    if (!tasks.empty() && !fits) continue;
    queue_[i].last_turn = ++turn_;
    tasks.push_back(queue_[i].task);
  }
  return tasks;
}

void Executor::run() {
  int threads = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return !queue_.empty(); });
    // The count is a property of the calling thread, so it is set here and not where JavaScript asked for it.
    if (const int wanted = wanted_threads.load(); wanted != threads && wanted > 0) at::set_num_threads(threads = wanted);
    auto tasks = next();
    lock.unlock();
    std::vector<char> done(tasks.size(), 0);
    if (tasks.front()->one_thread) run_side_by_side(tasks, done);
    else done[0] = tasks.front()->advance();
    for (size_t i = 0; i < tasks.size(); ++i) {
      if (!done[i]) continue;
      lock.lock();
      queue_.erase(std::find_if(queue_.begin(), queue_.end(), [&](const Entry& e) { return e.task == tasks[i]; }));
      lock.unlock();
      Task& ended = *tasks[i];
      ended.finished(std::move(tasks[i]));
    }
    lock.lock();
  }
}

void set_intra_op_threads(int count) { wanted_threads.store(count); }

int intra_op_threads() { return wanted_threads.load() > 0 ? wanted_threads.load() : at::get_num_threads(); }

}  // namespace magrpo::binding
