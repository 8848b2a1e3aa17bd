#include "bench/roof.h"

#include <ATen/Parallel.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "bench/timing.h"
#include "kernels/simd/dispatch.h"

namespace magrpo::bench {
namespace {

// Exclusive or of all words: compilers turn it into vector loads, and no word may be skipped.
MAGRPO_INLINE uint64_t fold(const uint64_t* words, int64_t count) {
  uint64_t sum = 0;
  for (int64_t i = 0; i < count; ++i) sum ^= words[i];
  return sum;
}

}  // namespace

double read_bandwidth(int64_t bytes) {
  const int64_t words = std::max<int64_t>(1, bytes / 8);
  const int64_t threads = at::get_num_threads();
  std::vector<uint64_t> buffer(static_cast<size_t>(words), 1);
  std::atomic<uint64_t> sink{0};
  // A pass over a small buffer ends before it could be timed, so that threads go over their part several times.
  const int64_t passes = std::max<int64_t>(1, (int64_t{1} << 22) / words);
  const Timing timing = measure(
      [&] {
        at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
          for (int64_t thread = begin; thread < end; ++thread) {
            const int64_t from = words * thread / threads, to = words * (thread + 1) / threads;
            for (int64_t pass = 0; pass < passes; ++pass) sink ^= kernels::dispatch<fold>(buffer.data() + from, to - from);
          }
        });
      },
      0.2);
  return static_cast<double>(words * 8 * passes) / timing.least;
}

double product_peak() {
  double best = 0;
  for (const int64_t size : {512, 1024, 1536}) {
    const at::Tensor a = at::ones({size, size}), b = at::ones({size, size});
    const Timing timing = measure([&] { at::mm(a, b); }, 0.3);
    best = std::max(best, 2.0 * static_cast<double>(size * size * size) / timing.least);
  }
  return best;
}

}  // namespace magrpo::bench
