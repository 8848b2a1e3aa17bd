#include "kernels/rotary/rotary.h"

namespace magrpo::kernels {

void rotary_reference(const RotaryShape& shape, const float* x, const float* cos, const float* sin, int64_t begin, int64_t end, float* y) {
  const int64_t half = shape.dim / 2;
  for (int64_t token = begin; token < end; ++token)
    for (int64_t head = 0; head < shape.heads; ++head)
      for (int64_t d = 0; d < half; ++d) {
        const int64_t in = token * shape.stride + head * shape.dim + d, out = (token * shape.heads + head) * shape.dim + d;
        const double c = cos[token * half + d], s = static_cast<double>(shape.direction) * sin[token * half + d];
        y[out] = static_cast<float>(x[in] * c - x[in + half] * s);
        y[out + half] = static_cast<float>(x[in + half] * c + x[in] * s);
      }
}

}  // namespace magrpo::kernels
