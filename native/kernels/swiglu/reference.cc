#include <cmath>
#include <numbers>

#include "kernels/swiglu/swiglu.h"

namespace magrpo::kernels {
namespace {

struct Value {
  double value, slope;
};

Value activated(Activation activation, double gate) {
  if (activation == Activation::silu) {
    const double s = 1.0 / (1.0 + std::exp(-gate));
    return {gate * s, s * (1.0 + gate * (1.0 - s))};
  }
  const double root = std::sqrt(2.0 / std::numbers::pi), t = std::tanh(root * (gate + 0.044715 * gate * gate * gate));
  return {0.5 * gate * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * gate * (1.0 - t * t) * root * (1.0 + 3.0 * 0.044715 * gate * gate)};
}

}  // namespace

void swiglu_forward_reference(Activation activation, const float* gate_up, int64_t size, int64_t begin, int64_t end, float* y) {
  for (int64_t row = begin; row < end; ++row)
    for (int64_t i = 0; i < size; ++i) {
      const float *gate = gate_up + row * 2 * size, *up = gate + size;
      y[row * size + i] = static_cast<float>(activated(activation, gate[i]).value * up[i]);
    }
}

void swiglu_backward_reference(Activation activation, const float* gate_up, const float* d_y, int64_t size, int64_t begin, int64_t end,
                               float* d_gate_up) {
  for (int64_t row = begin; row < end; ++row)
    for (int64_t i = 0; i < size; ++i) {
      const int64_t at = row * 2 * size + i;
      const double up = gate_up[at + size], g = d_y[row * size + i];
      const auto [value, slope] = activated(activation, gate_up[at]);
      d_gate_up[at] = static_cast<float>(g * up * slope);
      d_gate_up[at + size] = static_cast<float>(g * value);
    }
}

}  // namespace magrpo::kernels
