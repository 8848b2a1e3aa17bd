#include "kernels/cuda.h"
#include "kernels/swiglu/swiglu.h"

namespace magrpo::kernels {
namespace {

constexpr int kThreads = 256;

// From an exponential that cannot overflow.
__device__ float sigmoid(float x) {
  const float e = expf(-fabsf(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

// One thread per element.
__global__ void forward_kernel(const float* gate_up, int64_t size, int64_t elements, float* y) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= elements) return;
  const float* gate = gate_up + at / size * 2 * size + at % size;
  y[at] = gate[0] * sigmoid(gate[0]) * gate[size];
}

__global__ void backward_kernel(const float* gate_up, const float* d_y, int64_t size, int64_t elements, float* d_gate_up) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= elements) return;
  const int64_t offset = at / size * 2 * size + at % size;
  const float gate = gate_up[offset], up = gate_up[offset + size], g = d_y[at], s = sigmoid(gate);
  d_gate_up[offset] = g * up * s * (1.0f + gate * (1.0f - s));
  d_gate_up[offset + size] = g * gate * s;
}

unsigned blocks_for(int64_t elements) { return static_cast<unsigned>((elements + kThreads - 1) / kThreads); }

}  // namespace

void swiglu_forward_cuda(const float* gate_up, int64_t size, int64_t rows, float* y, core::CudaStream stream) {
  if (rows * size == 0) return;
  launch(forward_kernel, dim3(blocks_for(rows * size)), kThreads, 0, stream, gate_up, size, rows * size, y);
}

void swiglu_backward_cuda(const float* gate_up, const float* d_y, int64_t size, int64_t rows, float* d_gate_up, core::CudaStream stream) {
  if (rows * size == 0) return;
  launch(backward_kernel, dim3(blocks_for(rows * size)), kThreads, 0, stream, gate_up, d_y, size, rows * size, d_gate_up);
}

}  // namespace magrpo::kernels
