// Loops shared between threads: every part once, whoever takes it.
#include "core/parallel.h"

#include <ATen/Parallel.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/one_thread.h"
#include "test/harness.h"

namespace magrpo::core {
namespace {

// How often each index of a loop was worked on.
std::vector<int> visits(int64_t size, int64_t grain) {
  std::vector<std::atomic<int>> counts(static_cast<size_t>(size));
  parallel_for(size, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++counts[i];
  });
  return {counts.begin(), counts.end()};
}

bool once_each(const std::vector<int>& counts) {
  for (const int count : counts)
    if (count != 1) return false;
  return true;
}

struct Threads {
  explicit Threads(int count) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(1); }
};

}  // namespace

TEST("parallel: every index once, for any size, grain and number of threads, loop after loop") {
  for (const int count : {1, 2, 3, 8, 2}) {
    const Threads threads(count);
    for (const int64_t size : {0, 1, 2, 7, 8, 9, 100})
      for (const int64_t grain : {1, 3, 1000})
        for (int again = 0; again < 20; ++again) EXPECT(once_each(visits(size, grain)), size, " by ", grain, " on ", count);
  }
}

TEST("parallel: helpers that fell asleep come back") {
  const Threads threads(3);
  for (int again = 0; again < 5; ++again) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> inside = 0;
    // Nobody leaves before all have come: this ends only if the helpers take part.
    parallel_for(3, 1, [&](int64_t, int64_t) {
      for (++inside; inside < 3;) std::this_thread::yield();
    });
    EXPECT(inside == 3);
  }
}

TEST("parallel: what a part throws is thrown, and the next loop is as good as ever") {
  const Threads threads(2);
  for (int again = 0; again < 50; ++again) {
    bool thrown = false;
    try {
      parallel_for(8, 1, [](int64_t, int64_t end) {
        if (end == 8) throw std::runtime_error("part");
      });
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    EXPECT(thrown);
    EXPECT(once_each(visits(64, 1)));
  }
}

TEST("parallel: loops of several threads at once, and loops within loops") {
  const Threads threads(2);
  std::atomic<bool> good = true;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 3; ++caller)
    callers.emplace_back([&good] {
      at::set_num_threads(2);
      for (int again = 0; again < 200; ++again)
        parallel_for(4, 1, [&good](int64_t, int64_t) {
          if (!once_each(visits(16, 1))) good = false;
        });
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT(good.load());
}

// "mkl_get_max_threads() : N" as libtorch reports it on the calling thread; empty without MKL.
std::string mkl_threads() {
  const std::string info = at::get_parallel_info(), key = "mkl_get_max_threads() : ";
  const size_t from = info.find(key);
  return from == std::string::npos ? "" : info.substr(from + key.size(), info.find('\n', from) - from - key.size());
}

struct Counts {
  int own = 0;
  std::string mkl;
};

// Of a thread that has never used libtorch before.
Counts counts_of_new_thread(bool is_alone) {
  Counts counts;
  std::thread([&] {
    if (is_alone) compute_on_one_thread();
    counts = {at::get_num_threads(), mkl_threads()};
  }).join();
  return counts;
}

TEST("one thread: libtorch and MKL keep to the calling thread there, and to their number everywhere else, later threads included") {
  const Threads threads(2);
  const Counts before = counts_of_new_thread(false), alone = counts_of_new_thread(true), after = counts_of_new_thread(false);
  EXPECT(before.own == 2);
  EXPECT(alone.own == 1);
  EXPECT(alone.mkl == (before.mkl.empty() ? "" : "1"), alone.mkl);
  EXPECT(after.own == before.own, after.own);
  EXPECT(after.mkl == before.mkl, after.mkl);
  EXPECT(at::get_num_threads() == 2);
}

}  // namespace magrpo::core
