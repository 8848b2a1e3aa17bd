#include "kernels/rotary/rotary.h"
#include "kernels/simd/dispatch.h"

namespace magrpo::kernels {
namespace {

MAGRPO_INLINE void rotate(const RotaryShape& shape, const float* x, const float* cos, const float* sin, int64_t begin, int64_t end,
                          float* y) {
  const int64_t half = shape.dim / 2;
  for (int64_t token = begin; token < end; ++token) {
    const float* c = cos + token * half;
    const float* s = sin + token * half;
    for (int64_t head = 0; head < shape.heads; ++head) {
      const float* in = x + token * shape.stride + head * shape.dim;
      float* out = y + (token * shape.heads + head) * shape.dim;
#pragma omp simd
      for (int64_t d = 0; d < half; ++d) {
        const float signed_sin = shape.direction * s[d];
        out[d] = in[d] * c[d] - in[d + half] * signed_sin;
        out[d + half] = in[d + half] * c[d] + in[d] * signed_sin;
      }
    }
  }
}

}  // namespace

void rotary(const RotaryShape& shape, const float* x, const float* cos, const float* sin, int64_t begin, int64_t end, float* y) {
  dispatch<rotate>(shape, x, cos, sin, begin, end, y);
}

}  // namespace magrpo::kernels
