// Root-mean-square norm (Zhang & Sennrich 2019): y = x / sqrt(mean(x²) + eps) · weight, over the last dimension.
#pragma once

#include <cstdint>

namespace magrpo::kernels {

// Rows of x are (token, head) pairs: tokens lie `stride` floats apart, the heads of a token side by side. y, d_y and d_x are
// contiguous (tokens, heads, size), `inverse` is (tokens, heads) and receives 1 / sqrt(mean(x²) + eps).
struct NormShape {
  int64_t heads, size, stride;
  float eps;
};

// Tokens [begin, end); `inverse` may be null.
void rms_norm_forward(const NormShape& shape, const float* x, const float* weight, int64_t begin, int64_t end, float* y, float* inverse);

// Writes d_x of tokens [begin, end) and adds their share to d_weight (size), which may be null.
void rms_norm_backward(const NormShape& shape, const float* x, const float* weight, const float* inverse, const float* d_y,
                       int64_t begin, int64_t end, float* d_x, float* d_weight);

// The same as plain loops in double.
void rms_norm_forward_reference(const NormShape& shape, const float* x, const float* weight, int64_t begin, int64_t end, float* y,
                                float* inverse);
void rms_norm_backward_reference(const NormShape& shape, const float* x, const float* weight, const float* inverse,
                                 const float* d_y, int64_t begin, int64_t end, float* d_x, float* d_weight);

}  // namespace magrpo::kernels
