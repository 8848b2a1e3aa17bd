// Root-mean-square norm (Zhang & Sennrich 2019): y = x / sqrt(mean(x²) + eps) · weight, over the last dimension.
#pragma once

#include <cstdint>

#include "core/cuda_stream.h"

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

// The same on a CUDA device, queued on `stream`, for tokens [0, tokens).
void rms_norm_forward_cuda(const NormShape& shape, const float* x, const float* weight, int64_t tokens, float* y, float* inverse,
                           core::CudaStream stream);

// Tokens whose parts of d_weight are added up in order, and the number of such shares.
constexpr int64_t kNormShareTokens = 64;
constexpr int64_t norm_shares(int64_t tokens) { return (tokens + kNormShareTokens - 1) / kNormShareTokens; }

// Writes d_weight's parts to `d_weight_shares` (norm_shares(tokens), size), which may be null: their sum does not depend on timing.
void rms_norm_backward_cuda(const NormShape& shape, const float* x, const float* weight, const float* inverse, const float* d_y,
                            int64_t tokens, float* d_x, float* d_weight_shares, core::CudaStream stream);

// The same as plain loops in double.
void rms_norm_forward_reference(const NormShape& shape, const float* x, const float* weight, int64_t begin, int64_t end, float* y,
                                float* inverse);
void rms_norm_backward_reference(const NormShape& shape, const float* x, const float* weight, const float* inverse,
                                 const float* d_y, int64_t begin, int64_t end, float* d_x, float* d_weight);

}  // namespace magrpo::kernels
