#include "kernels/cuda.h"
#include "kernels/rotary/rotary.h"

namespace magrpo::kernels {
namespace {

constexpr int kThreads = 256;

// One thread per pair.
__global__ void rotary_kernel(RotaryShape shape, const float* x, const float* cos, const float* sin, int64_t pairs, float* y) {
  const int64_t pair = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (pair >= pairs) return;
  const int64_t half = shape.dim / 2, d = pair % half, head = pair / half % shape.heads, token = pair / half / shape.heads;
  const float* in = x + token * shape.stride + head * shape.dim + d;
  float* out = y + (token * shape.heads + head) * shape.dim + d;
  const float c = cos[token * half + d], s = shape.direction * sin[token * half + d];
  out[0] = in[0] * c - in[half] * s;
  out[half] = in[half] * c + in[0] * s;
}

}  // namespace

void rotary_cuda(const RotaryShape& shape, const float* x, const float* cos, const float* sin, int64_t tokens, float* y,
                 core::CudaStream stream) {
  const int64_t pairs = tokens * shape.heads * (shape.dim / 2);
  if (pairs == 0) return;
  launch(rotary_kernel, dim3(static_cast<unsigned>((pairs + kThreads - 1) / kThreads)), kThreads, 0, stream, shape, x, cos, sin, pairs, y);
}

}  // namespace magrpo::kernels
