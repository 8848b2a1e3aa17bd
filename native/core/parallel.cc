#include "core/parallel.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>

namespace magrpo::core {
namespace {

// How long a helper spins for the next loop before it sleeps: waking a thread takes as long as several loops.
constexpr std::chrono::microseconds kSpinTime{100};

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until `is_over()`, at most kSpinTime; returns whether it is.
template <class Condition>
bool spin(Condition&& is_over) {
  const auto end = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int spin_count = 0; spin_count < 32; ++spin_count) {
      if (is_over()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return is_over();
}

class Helpers {
 public:
  void run(int64_t size, int64_t part, int threads, LoopWork call, const void* work) {
    if (is_busy_.exchange(true)) return call(work, 0, size);
    start(threads - 1);
    size_ = size, part_ = part, call_ = call, work_ = work;
    wanted_helpers_ = threads - 1;
    failed_ = false;
    next_ = 0;
    is_open_ = true;
    loop_.fetch_add(1);
    if (sleeping_ > 0) loop_.notify_all();
    run_parts();
    // A helper increments active_ before it checks is_open_: one that is not counted here finds the loop closed.
    is_open_ = false;
    while (!spin([this] { return active_ == 0; })) std::this_thread::yield();
    const std::exception_ptr error = std::exchange(error_, nullptr);
    is_busy_ = false;
    if (error) std::rethrow_exception(error);
  }

 private:
  // Starts helpers up to `count`, or as many as the system allows.
  void start(int count) try {
    for (; thread_count_ < count; ++thread_count_) std::thread([this, number = thread_count_] { help(number); }).detach();
  } catch (const std::system_error&) {
  }

  void run_parts() {
    for (int64_t begin; (begin = next_.fetch_add(part_)) < size_;) try {
        call_(work_, begin, std::min(size_, begin + part_));
      } catch (...) {
        if (!failed_.exchange(true)) error_ = std::current_exception();
      }
  }

  void help(int number) {
    for (int seen = 0;;) {
      if (!spin([&] { return loop_ != seen; })) {
        ++sleeping_;
        loop_.wait(seen);
        --sleeping_;
      }
      seen = loop_;
      ++active_;
      if (is_open_ && number < wanted_helpers_) run_parts();
      --active_;
    }
  }

  std::atomic<bool> is_busy_ = false;  // guards all members below: owned by the thread whose loop runs
  int thread_count_ = 0;
  int64_t size_ = 0, part_ = 0;
  LoopWork call_ = nullptr;
  const void* work_ = nullptr;
  std::exception_ptr error_;
  std::atomic<bool> failed_ = false, is_open_ = false;
  std::atomic<int> wanted_helpers_ = 0;
  alignas(64) std::atomic<int64_t> next_ = 0;
  alignas(64) std::atomic<int> loop_ = 0;  // counts loops; helpers sleep on it
  alignas(64) std::atomic<int> active_ = 0;
  std::atomic<int> sleeping_ = 0;
};

}  // namespace

int loop_thread_count() { return at::in_parallel_region() ? 1 : at::get_num_threads(); }

void run_shared_loop(int64_t size, int64_t part, int threads, LoopWork call, const void* work) {
  // Never destroyed: helpers live as long as the process.
  static auto* helpers = new Helpers;
  helpers->run(size, part, threads, call, work);
}

}  // namespace magrpo::core
