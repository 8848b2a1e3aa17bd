#include <cmath>

#include "kernels/rms_norm/rms_norm.h"

namespace magrpo::kernels {
namespace {

const float* row_of(const NormShape& shape, const float* x, int64_t row) {
  return x + row / shape.heads * shape.stride + row % shape.heads * shape.size;
}

double inverse_of(const NormShape& shape, const float* in) {
  double squares = 0.0;
  for (int64_t i = 0; i < shape.size; ++i) squares += static_cast<double>(in[i]) * in[i];
  return 1.0 / std::sqrt(squares / static_cast<double>(shape.size) + shape.eps);
}

}  // namespace

void rms_norm_forward_reference(const NormShape& shape, const float* x, const float* weight, int64_t begin, int64_t end, float* y,
                                float* inverse) {
  for (int64_t row = begin * shape.heads; row < end * shape.heads; ++row) {
    const float* in = row_of(shape, x, row);
    const double scale = inverse_of(shape, in);
    for (int64_t i = 0; i < shape.size; ++i) y[row * shape.size + i] = static_cast<float>(in[i] * scale * (shape.offset + weight[i]));
    if (inverse != nullptr) inverse[row] = static_cast<float>(scale);
  }
}

void rms_norm_backward_reference(const NormShape& shape, const float* x, const float* weight, const float*, const float* d_y,
                                 int64_t begin, int64_t end, float* d_x, float* d_weight) {
  const int64_t size = shape.size;
  for (int64_t row = begin * shape.heads; row < end * shape.heads; ++row) {
    const float* in = row_of(shape, x, row);
    const double scale = inverse_of(shape, in);
    double mean = 0.0;
    for (int64_t i = 0; i < size; ++i)
      mean += (static_cast<double>(shape.offset) + weight[i]) * d_y[row * size + i] * in[i] * scale / static_cast<double>(size);
    for (int64_t i = 0; i < size; ++i) {
      const double normal = in[i] * scale, g = d_y[row * size + i];
      d_x[row * size + i] = static_cast<float>(scale * ((shape.offset + weight[i]) * g - normal * mean));
      if (d_weight != nullptr) d_weight[i] += static_cast<float>(g * normal);
    }
  }
}

}  // namespace magrpo::kernels
