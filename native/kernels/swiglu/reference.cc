#include <cmath>

#include "kernels/swiglu/swiglu.h"

namespace magrpo::kernels {

void swiglu_forward_reference(const float* gate_up, int64_t size, int64_t begin, int64_t end, float* y) {
  for (int64_t row = begin; row < end; ++row)
    for (int64_t i = 0; i < size; ++i) {
      const double gate = gate_up[row * 2 * size + i], up = gate_up[row * 2 * size + size + i];
      y[row * size + i] = static_cast<float>(gate / (1.0 + std::exp(-gate)) * up);
    }
}

void swiglu_backward_reference(const float* gate_up, const float* d_y, int64_t size, int64_t begin, int64_t end, float* d_gate_up) {
  for (int64_t row = begin; row < end; ++row)
    for (int64_t i = 0; i < size; ++i) {
      const int64_t at = row * 2 * size + i;
      const double gate = gate_up[at], up = gate_up[at + size], g = d_y[row * size + i];
      const double s = 1.0 / (1.0 + std::exp(-gate));
      d_gate_up[at] = static_cast<float>(g * up * s * (1.0 + gate * (1.0 - s)));
      d_gate_up[at + size] = static_cast<float>(g * gate * s);
    }
}

}  // namespace magrpo::kernels
