#include <cmath>

#include "kernels/simd/dispatch.h"
#include "kernels/simd/exp.h"
#include "kernels/swiglu/swiglu.h"

namespace magrpo::kernels {
namespace {

// 1 / (1 + exp(-x)), from an exponential that cannot overflow.
MAGRPO_INLINE float sigmoid(float x) {
  const float e = fast_exp(-std::abs(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

MAGRPO_INLINE void forward(const float* gate_up, int64_t size, int64_t begin, int64_t end, float* y) {
  for (int64_t row = begin; row < end; ++row) {
    const float* gate = gate_up + row * 2 * size;
    const float* up = gate + size;
    float* out = y + row * size;
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) out[i] = gate[i] * sigmoid(gate[i]) * up[i];
  }
}

MAGRPO_INLINE void backward(const float* gate_up, const float* d_y, int64_t size, int64_t begin, int64_t end, float* d_gate_up) {
  for (int64_t row = begin; row < end; ++row) {
    const float* gate = gate_up + row * 2 * size;
    const float* up = gate + size;
    const float* g = d_y + row * size;
    float* d_gate = d_gate_up + row * 2 * size;
    float* d_up = d_gate + size;
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) {
      const float s = sigmoid(gate[i]);
      d_gate[i] = g[i] * up[i] * s * (1.0f + gate[i] * (1.0f - s));
      d_up[i] = g[i] * gate[i] * s;
    }
  }
}

}  // namespace

void swiglu_forward(const float* gate_up, int64_t size, int64_t begin, int64_t end, float* y) {
  dispatch<forward>(gate_up, size, begin, end, y);
}

void swiglu_backward(const float* gate_up, const float* d_y, int64_t size, int64_t begin, int64_t end, float* d_gate_up) {
  dispatch<backward>(gate_up, d_y, size, begin, end, d_gate_up);
}

}  // namespace magrpo::kernels
