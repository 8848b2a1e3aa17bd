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

// act(gate) = gate · sigmoid(logit).
template <Activation activation>
MAGRPO_INLINE float logit(float gate) {
  if constexpr (activation == Activation::silu) return gate;
  else return kGeluScale * (gate + kGeluCube * gate * gate * gate);
}

template <Activation activation>
MAGRPO_INLINE float logit_slope(float gate) {
  if constexpr (activation == Activation::silu) return 1.0f;
  else return kGeluScale * (1.0f + 3.0f * kGeluCube * gate * gate);
}

template <Activation activation>
MAGRPO_INLINE void forward(const float* gate_up, int64_t size, int64_t begin, int64_t end, float* y) {
  for (int64_t row = begin; row < end; ++row) {
    const float* gate = gate_up + row * 2 * size;
    const float* up = gate + size;
    float* out = y + row * size;
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) out[i] = gate[i] * sigmoid(logit<activation>(gate[i])) * up[i];
  }
}

template <Activation activation>
MAGRPO_INLINE void backward(const float* gate_up, const float* d_y, int64_t size, int64_t begin, int64_t end, float* d_gate_up) {
  for (int64_t row = begin; row < end; ++row) {
    const float* gate = gate_up + row * 2 * size;
    const float* up = gate + size;
    const float* g = d_y + row * size;
    float* d_gate = d_gate_up + row * 2 * size;
    float* d_up = d_gate + size;
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) {
      const float s = sigmoid(logit<activation>(gate[i]));
      d_gate[i] = g[i] * up[i] * s * (1.0f + gate[i] * (1.0f - s) * logit_slope<activation>(gate[i]));
      d_up[i] = g[i] * gate[i] * s;
    }
  }
}

}  // namespace

void swiglu_forward(Activation activation, const float* gate_up, int64_t size, int64_t begin, int64_t end, float* y) {
  if (activation == Activation::silu) dispatch<forward<Activation::silu>>(gate_up, size, begin, end, y);
  else dispatch<forward<Activation::gelu_tanh>>(gate_up, size, begin, end, y);
}

void swiglu_backward(Activation activation, const float* gate_up, const float* d_y, int64_t size, int64_t begin, int64_t end,
                     float* d_gate_up) {
  if (activation == Activation::silu) dispatch<backward<Activation::silu>>(gate_up, d_y, size, begin, end, d_gate_up);
  else dispatch<backward<Activation::gelu_tanh>>(gate_up, d_y, size, begin, end, d_gate_up);
}

}  // namespace magrpo::kernels
