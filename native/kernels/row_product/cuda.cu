#include "kernels/cuda.h"
#include "kernels/row_product/row_product.h"

// One warp per column of y: its weights are read once, coalesced, for up to kRows rows, whose x stays in the caches.
namespace magrpo::kernels {
namespace {

constexpr int kThreads = 128;
constexpr int kRows = 8;

__device__ float value(float x) { return x; }
__device__ float value(uint16_t x) { return __uint_as_float(static_cast<unsigned>(x) << 16); }

template <typename Weight>
__global__ void product_kernel(RowProduct p, int64_t begin, int64_t end) {
  const int lane = threadIdx.x % kWarp;
  const int64_t column = begin + static_cast<int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (column >= end) return;  // whole warps leave
  const int64_t first = static_cast<int64_t>(blockIdx.y) * kRows;
  const int rows = p.rows - first < kRows ? static_cast<int>(p.rows - first) : kRows;
  const Weight* weight = static_cast<const Weight*>(p.weight) + column * p.in;
  const float* x = p.x + first * p.x_stride;
  float sums[kRows] = {};
  for (int64_t i = lane; i < p.in; i += kWarp) {
    const float w = value(weight[i]);
#pragma unroll
    for (int r = 0; r < kRows; ++r)
      if (r < rows) sums[r] += x[r * p.x_stride + i] * w;
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    float sum = warp_sum(sums[r]) * p.scale;
    if (lane != 0 || r >= rows) continue;
    if (p.bias != nullptr) sum += p.bias[column];
    float& y = p.y[(first + r) * p.y_stride + column];
    y = p.adds ? y + sum : sum;
  }
}

}  // namespace

void row_product_cuda(const RowProduct& product, int64_t begin, int64_t end, core::CudaStream stream) {
  if (product.rows == 0 || begin >= end) return;
  const int64_t warps = kThreads / kWarp;
  const dim3 grid(static_cast<unsigned>((end - begin + warps - 1) / warps), static_cast<unsigned>((product.rows + kRows - 1) / kRows));
  if (product.is_bfloat16) launch(product_kernel<uint16_t>, grid, kThreads, 0, stream, product, begin, end);
  else launch(product_kernel<float>, grid, kThreads, 0, stream, product, begin, end);
}

}  // namespace magrpo::kernels
