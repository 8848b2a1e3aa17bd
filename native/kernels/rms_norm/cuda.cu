#include "kernels/cuda.h"
#include "kernels/rms_norm/rms_norm.h"

namespace magrpo::kernels {
namespace {

constexpr int kThreads = 128;

__device__ const float* row_of(const NormShape& shape, const float* x, int64_t row) {
  return x + row / shape.heads * shape.stride + row % shape.heads * shape.size;
}

// One block per row.
__global__ void forward_kernel(NormShape shape, const float* x, const float* weight, float* y, float* inverse) {
  const int64_t row = blockIdx.x;
  const float* in = row_of(shape, x, row);
  float squares = 0.0f;
  for (int64_t i = threadIdx.x; i < shape.size; i += kThreads) squares += in[i] * in[i];
  const float mean = block_sum(squares, shared_memory()) / static_cast<float>(shape.size);
  const float scale = rsqrtf(mean + shape.eps);
  for (int64_t i = threadIdx.x; i < shape.size; i += kThreads) y[row * shape.size + i] = in[i] * scale * (shape.offset + weight[i]);
  if (inverse != nullptr && threadIdx.x == 0) inverse[row] = scale;
}

__global__ void input_gradient_kernel(NormShape shape, const float* x, const float* weight, const float* inverse, const float* d_y,
                                      float* d_x) {
  const int64_t row = blockIdx.x;
  const float* in = row_of(shape, x, row);
  const float* g = d_y + row * shape.size;
  float sum = 0.0f;
  for (int64_t i = threadIdx.x; i < shape.size; i += kThreads) sum += (shape.offset + weight[i]) * g[i] * in[i];
  const float scale = inverse[row];
  const float shift = block_sum(sum, shared_memory()) * scale * scale / static_cast<float>(shape.size);
  for (int64_t i = threadIdx.x; i < shape.size; i += kThreads)
    d_x[row * shape.size + i] = scale * ((shape.offset + weight[i]) * g[i] - in[i] * shift);
}

// One thread per column, one row of blocks per partial sum: neighbouring threads read neighbouring columns.
__global__ void weight_gradient_kernel(NormShape shape, const float* x, const float* inverse, const float* d_y, int64_t tokens,
                                       float* parts) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (column >= shape.size) return;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * kNormPartTokens * shape.heads;
  int64_t end = begin + kNormPartTokens * shape.heads;
  if (end > tokens * shape.heads) end = tokens * shape.heads;
  float sum = 0.0f;
  for (int64_t row = begin; row < end; ++row) sum += d_y[row * shape.size + column] * row_of(shape, x, row)[column] * inverse[row];
  parts[blockIdx.y * shape.size + column] = sum;
}

}  // namespace

void rms_norm_forward_cuda(const NormShape& shape, const float* x, const float* weight, int64_t tokens, float* y, float* inverse,
                           core::CudaStream stream) {
  if (tokens == 0) return;
  launch(forward_kernel, dim3(static_cast<unsigned>(tokens * shape.heads)), kThreads, kThreads / kWarp, stream, shape, x, weight, y,
         inverse);
}

void rms_norm_backward_cuda(const NormShape& shape, const float* x, const float* weight, const float* inverse, const float* d_y,
                            int64_t tokens, float* d_x, float* d_weight_parts, core::CudaStream stream) {
  if (tokens == 0) return;
  launch(input_gradient_kernel, dim3(static_cast<unsigned>(tokens * shape.heads)), kThreads, kThreads / kWarp, stream, shape, x,
         weight, inverse, d_y, d_x);
  if (d_weight_parts == nullptr) return;
  const dim3 grid(static_cast<unsigned>((shape.size + kThreads - 1) / kThreads), static_cast<unsigned>(norm_parts(tokens)));
  launch(weight_gradient_kernel, grid, kThreads, 0, stream, shape, x, inverse, d_y, tokens, d_weight_parts);
}

}  // namespace magrpo::kernels
