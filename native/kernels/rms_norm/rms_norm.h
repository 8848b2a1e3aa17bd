// Root-mean-square norm (Zhang & Sennrich 2019): y = x / sqrt(mean(x²) + eps) · (offset + weight), over the last dimension.
#pragma once

#include <cstdint>

#include "core/cuda_stream.h"

namespace magrpo::kernels {

// Rows of x are (token, head) pairs: tokens are `stride` floats apart, heads of a token contiguous. y, d_y and d_x are
// contiguous (tokens, heads, size), `inverse` is (tokens, heads) and receives 1 / sqrt(mean(x²) + eps).
struct NormShape {
  int64_t heads, size, stride;
  float eps;
  float offset = 0.0f;
};

// Tokens [begin, end); `inverse` may be null.
void rms_norm_forward(const NormShape& shape, const float* x, const float* weight, int64_t begin, int64_t end, float* y, float* inverse);

// Writes d_x of tokens [begin, end) and adds to d_weight (size), which may be null.
void rms_norm_backward(const NormShape& shape, const float* x, const float* weight, const float* inverse, const float* d_y,
                       int64_t begin, int64_t end, float* d_x, float* d_weight);

// The same on a CUDA device, queued on `stream`, for tokens [0, tokens).
void rms_norm_forward_cuda(const NormShape& shape, const float* x, const float* weight, int64_t tokens, float* y, float* inverse,
                           core::CudaStream stream);

// Tokens per partial sum of d_weight, and the number of partial sums.
constexpr int64_t kNormPartTokens = 64;
constexpr int64_t norm_parts(int64_t tokens) { return (tokens + kNormPartTokens - 1) / kNormPartTokens; }

// Writes partial sums of d_weight to `d_weight_parts` (norm_parts(tokens), size), which may be null. Their sum is deterministic.
void rms_norm_backward_cuda(const NormShape& shape, const float* x, const float* weight, const float* inverse, const float* d_y,
                            int64_t tokens, float* d_x, float* d_weight_parts, core::CudaStream stream);

// The same as plain loops in double.
void rms_norm_forward_reference(const NormShape& shape, const float* x, const float* weight, int64_t begin, int64_t end, float* y,
                                float* inverse);
void rms_norm_backward_reference(const NormShape& shape, const float* x, const float* weight, const float* inverse,
                                 const float* d_y, int64_t begin, int64_t end, float* d_x, float* d_weight);

}  // namespace magrpo::kernels
