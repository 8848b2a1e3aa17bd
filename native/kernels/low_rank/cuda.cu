#include "kernels/cuda.h"
#include "kernels/low_rank/low_rank.h"

// One thread per column of y, for up to kRows rows: its column of B is read once, and all threads share the inner vectors.
namespace magrpo::kernels {
namespace {

constexpr int kThreads = 128;
constexpr int kRows = 8;

__global__ void add_kernel(LowRankProduct p, int64_t begin, int64_t end) {
  const int64_t column = begin + static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (column >= end) return;
  const int64_t first = static_cast<int64_t>(blockIdx.y) * kRows;
  const int rows = p.rows - first < kRows ? static_cast<int>(p.rows - first) : kRows;
  const float* inner = p.inner + first * p.rank;
  const float* b = p.b + column * p.b_out_stride;
  float sums[kRows] = {};
  for (int64_t k = 0; k < p.rank; ++k) {
    const float value = b[k * p.b_rank_stride];
#pragma unroll
    for (int r = 0; r < kRows; ++r)
      if (r < rows) sums[r] += inner[r * p.rank + k] * value;
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r)
    if (r < rows) p.y[(first + r) * p.y_stride + column] += p.scale * sums[r];
}

}  // namespace

void low_rank_add_cuda(const LowRankProduct& product, int64_t begin, int64_t end, core::CudaStream stream) {
  if (product.rows == 0 || begin >= end) return;
  const dim3 grid(static_cast<unsigned>((end - begin + kThreads - 1) / kThreads),
                  static_cast<unsigned>((product.rows + kRows - 1) / kRows));
  launch(add_kernel, grid, kThreads, 0, stream, product, begin, end);
}

}  // namespace magrpo::kernels
