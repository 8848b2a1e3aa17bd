#include "binding/executor.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <thread>

#include "core/one_thread.h"

namespace magrpo::binding {
namespace {

std::atomic<int> requested_threads{0};  // 0: libtorch's own choice

bool intersect(const std::vector<const void*>& a, const std::vector<const void*>& b) {
  return std::any_of(a.begin(), a.end(), [&](const void* x) { return std::find(b.begin(), b.end(), x) != b.end(); });
}

bool conflict(const Task& earlier, const Task& later) {
  return intersect(earlier.writes, later.writes) || intersect(earlier.writes, later.reads) || intersect(earlier.reads, later.writes);
}

// Long enough that a model's weights are reused from the caches, short enough that other requests do not wait noticeably.
constexpr std::chrono::milliseconds kTimeSlice{20};

bool advance_for_time_slice(Task& task) {
  const auto end = std::chrono::steady_clock::now() + kTimeSlice;
  while (!task.advance())
    if (std::chrono::steady_clock::now() >= end) return false;
  return true;
}

}  // namespace

Executor& Executor::of(const std::string& device) {
  // Never destroyed: detached threads wait on members until the process ends.
  static auto* mutex = new std::mutex;
  static auto* executors = new std::map<std::string, Executor*>;
  const std::lock_guard<std::mutex> lock(*mutex);
  auto& executor = (*executors)[device];
  if (executor == nullptr) executor = new Executor;
  return *executor;
}

Executor::Executor() {
  intra_op_threads();  // libtorch's own choice, before any thread has another
  std::thread([this] { run(false); }).detach();
}

void Executor::submit(std::shared_ptr<Task> task) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (task->one_thread) start_workers();
  queue_.push_back({std::move(task)});
  wake();
}

void Executor::start_workers() {
  for (; workers_ < intra_op_threads(); ++workers_) std::thread([this] { run(true); }).detach();
}

Executor::Entry* Executor::next_runnable() {
  Entry* found = nullptr;
  for (auto entry = queue_.begin(); entry != queue_.end(); ++entry) {
    if (entry->is_running || (found != nullptr && found->last_slice <= entry->last_slice)) continue;
    const bool blocked = std::any_of(queue_.begin(), entry, [&](const Entry& earlier) { return conflict(*earlier.task, *entry->task); });
    if (!blocked) found = &*entry;
  }
  return found;
}

std::shared_ptr<Task> Executor::try_dequeue(bool is_worker) {
  if (main_is_busy_ || busy_workers_ >= (is_worker ? intra_op_threads() : 1)) return nullptr;
  Entry* entry = next_runnable();
  if (entry == nullptr || entry->task->one_thread != is_worker) return nullptr;
  entry->is_running = true;
  entry->last_slice = ++slice_;
  if (is_worker) ++busy_workers_;
  else main_is_busy_ = true;
  return entry->task;
}

void Executor::wake() {
  const Entry* entry = next_runnable();
  if (entry == nullptr) return;
  if (entry->task->one_thread) wake_workers_.notify_all();
  else wake_main_.notify_one();
}

void Executor::run(bool is_worker) {
  int threads = 0;
  if (is_worker) core::compute_on_one_thread();
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    std::shared_ptr<Task> task;
    (is_worker ? wake_workers_ : wake_main_).wait(lock, [&] { return (task = try_dequeue(is_worker)) != nullptr; });
    lock.unlock();
    // libtorch's thread count is per calling thread, so it is set here rather than in set_intra_op_threads.
    if (const int requested = requested_threads.load(); !is_worker && requested != threads && requested > 0)
      at::set_num_threads(threads = requested);
    const bool done = advance_for_time_slice(*task);
    lock.lock();
    const auto entry = std::find_if(queue_.begin(), queue_.end(), [&](const Entry& e) { return e.task == task; });
    entry->is_running = false;
    if (done) queue_.erase(entry);
    if (is_worker) --busy_workers_;
    else main_is_busy_ = false;
    wake();
    if (!done) continue;
    lock.unlock();
    Task& ended = *task;
    ended.finished(std::move(task));
    lock.lock();
  }
}

void set_intra_op_threads(int count) { requested_threads.store(count); }

int intra_op_threads() {
  static const int own_choice = at::get_num_threads();
  const int requested = requested_threads.load();
  return requested > 0 ? requested : own_choice;
}

}  // namespace magrpo::binding
