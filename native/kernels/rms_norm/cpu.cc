#include <cmath>

#include "kernels/rms_norm/rms_norm.h"
#include "kernels/simd/dispatch.h"

namespace magrpo::kernels {
namespace {

MAGRPO_INLINE void forward(const NormShape& shape, const float* x, const float* weight, int64_t begin, int64_t end, float* y,
                           float* inverse) {
  const int64_t size = shape.size;
  for (int64_t row = begin * shape.heads; row < end * shape.heads; ++row) {
    const float* in = x + row / shape.heads * shape.stride + row % shape.heads * size;
    float* out = y + row * size;
    float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < size; ++i) squares += in[i] * in[i];
    const float scale = 1.0f / std::sqrt(squares / static_cast<float>(size) + shape.eps);
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) out[i] = in[i] * scale * (shape.offset + weight[i]);
    if (inverse != nullptr) inverse[row] = scale;
  }
}

// With n = x · inverse and w = offset + weight: d_x = inverse · (w d_y - n · mean(w d_y n)), d_weight = Σ d_y n.
MAGRPO_INLINE void backward(const NormShape& shape, const float* x, const float* weight, const float* inverse, const float* d_y,
                            int64_t begin, int64_t end, float* d_x, float* d_weight) {
  const int64_t size = shape.size;
  for (int64_t row = begin * shape.heads; row < end * shape.heads; ++row) {
    const float* in = x + row / shape.heads * shape.stride + row % shape.heads * size;
    const float* g = d_y + row * size;
    float* out = d_x + row * size;
    const float scale = inverse[row];
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < size; ++i) sum += (shape.offset + weight[i]) * g[i] * in[i];
    const float shift = sum * scale * scale / static_cast<float>(size);
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) out[i] = scale * ((shape.offset + weight[i]) * g[i] - in[i] * shift);
    if (d_weight == nullptr) continue;
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) d_weight[i] += g[i] * in[i] * scale;
  }
}

}  // namespace

void rms_norm_forward(const NormShape& shape, const float* x, const float* weight, int64_t begin, int64_t end, float* y, float* inverse) {
  dispatch<forward>(shape, x, weight, begin, end, y, inverse);
}

void rms_norm_backward(const NormShape& shape, const float* x, const float* weight, const float* inverse, const float* d_y,
                       int64_t begin, int64_t end, float* d_x, float* d_weight) {
  dispatch<backward>(shape, x, weight, inverse, d_y, begin, end, d_x, d_weight);
}

}  // namespace magrpo::kernels
