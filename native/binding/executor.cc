#include "binding/executor.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>

#include "core/one_thread.h"

namespace magrpo::binding {
namespace {

std::atomic<int> wanted_threads{0};  // 0: libtorch's own choice

bool overlap(const std::vector<const void*>& a, const std::vector<const void*>& b) {
  return std::any_of(a.begin(), a.end(), [&](const void* x) { return std::find(b.begin(), b.end(), x) != b.end(); });
}

bool conflict(const Task& earlier, const Task& later) {
  return overlap(earlier.writes, later.writes) || overlap(earlier.writes, later.reads) || overlap(earlier.reads, later.writes);
}

// Slices for a share of time rather than one: a model that has just been read is quicker the next time.
bool advance_for_a_while(Task& task) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  while (!task.advance())
    if (std::chrono::steady_clock::now() >= end) return false;
  return true;
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
  intra_op_threads();  // libtorch's own choice, before any thread has another
  std::thread([this] { run(false); }).detach();
}

void Executor::submit(std::shared_ptr<Task> task) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (task->one_thread) start_lanes();
  queue_.push_back({std::move(task)});
  wake();
}

void Executor::start_lanes() {
  for (; lanes_ < intra_op_threads(); ++lanes_) std::thread([this] { run(true); }).detach();
}

Executor::Entry* Executor::next() {
  Entry* found = nullptr;
  for (auto entry = queue_.begin(); entry != queue_.end(); ++entry) {
    if (entry->is_running || (found != nullptr && found->last_turn <= entry->last_turn)) continue;
    const bool blocked =
        std::any_of(queue_.begin(), entry, [&](const Entry& earlier) { return conflict(*earlier.task, *entry->task); });
    if (!blocked) found = &*entry;
  }
  return found;
}

std::shared_ptr<Task> Executor::take(bool is_lane) {
  if (main_is_busy_ || busy_lanes_ >= (is_lane ? intra_op_threads() : 1)) return nullptr;
  Entry* entry = next();
  if (entry == nullptr || entry->task->one_thread != is_lane) return nullptr;
  entry->is_running = true;
  entry->last_turn = ++turn_;
  if (is_lane) ++busy_lanes_;
  else main_is_busy_ = true;
  return entry->task;
}

void Executor::wake() {
  const Entry* entry = next();
  if (entry == nullptr) return;
  if (entry->task->one_thread) wake_lanes_.notify_all();
  else wake_main_.notify_one();
}

void Executor::run(bool is_lane) {
  int threads = 0;
  if (is_lane) core::compute_on_one_thread();
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    std::shared_ptr<Task> task;
    (is_lane ? wake_lanes_ : wake_main_).wait(lock, [&] { return (task = take(is_lane)) != nullptr; });
    lock.unlock();
    // The count is a property of the calling thread, so it is set here and not where JavaScript asked for it.
    if (const int wanted = wanted_threads.load(); !is_lane && wanted != threads && wanted > 0) at::set_num_threads(threads = wanted);
    const bool done = advance_for_a_while(*task);
    lock.lock();
    const auto entry = std::find_if(queue_.begin(), queue_.end(), [&](const Entry& e) { return e.task == task; });
    entry->is_running = false;
    if (done) queue_.erase(entry);
    if (is_lane) --busy_lanes_;
    else main_is_busy_ = false;
    wake();
    if (!done) continue;
    lock.unlock();
    Task& ended = *task;
    ended.finished(std::move(task));
    lock.lock();
  }
}

void set_intra_op_threads(int count) { wanted_threads.store(count); }

int intra_op_threads() {
  static const int own_choice = at::get_num_threads();
  const int wanted = wanted_threads.load();
  return wanted > 0 ? wanted : own_choice;
}

}  // namespace magrpo::binding
