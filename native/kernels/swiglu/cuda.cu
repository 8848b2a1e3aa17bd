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

// act(gate) = gate · sigmoid(logit).
__device__ float logit(Activation activation, float gate) {
  return activation == Activation::silu ? gate : kGeluScale * (gate + kGeluCube * gate * gate * gate);
}

__device__ float logit_slope(Activation activation, float gate) {
  return activation == Activation::silu ? 1.0f : kGeluScale * (1.0f + 3.0f * kGeluCube * gate * gate);
}

// One thread per element.
__global__ void forward_kernel(Activation activation, const float* gate_up, int64_t size, int64_t elements, float* y) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= elements) return;
  const float* gate = gate_up + at / size * 2 * size + at % size;
  y[at] = gate[0] * sigmoid(logit(activation, gate[0])) * gate[size];
}

__global__ void backward_kernel(Activation activation, const float* gate_up, const float* d_y, int64_t size, int64_t elements,
                                float* d_gate_up) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= elements) return;
  const int64_t offset = at / size * 2 * size + at % size;
  const float gate = gate_up[offset], up = gate_up[offset + size], g = d_y[at], s = sigmoid(logit(activation, gate));
  d_gate_up[offset] = g * up * s * (1.0f + gate * (1.0f - s) * logit_slope(activation, gate));
  d_gate_up[offset + size] = g * gate * s;
}

unsigned blocks_for(int64_t elements) { return static_cast<unsigned>((elements + kThreads - 1) / kThreads); }

}  // namespace

void swiglu_forward_cuda(Activation activation, const float* gate_up, int64_t size, int64_t rows, float* y, core::CudaStream stream) {
  if (rows * size == 0) return;
  launch(forward_kernel, dim3(blocks_for(rows * size)), kThreads, 0, stream, activation, gate_up, size, rows * size, y);
}

void swiglu_backward_cuda(Activation activation, const float* gate_up, const float* d_y, int64_t size, int64_t rows, float* d_gate_up,
                          core::CudaStream stream) {
  if (rows * size == 0) return;
  launch(backward_kernel, dim3(blocks_for(rows * size)), kThreads, 0, stream, activation, gate_up, d_y, size, rows * size, d_gate_up);
}

}  // namespace magrpo::kernels
