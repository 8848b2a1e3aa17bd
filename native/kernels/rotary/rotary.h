// Rotary position embedding (Su et al. 2021), in the half-split layout of Hugging Face checkpoints: the pairs (x[d], x[d + D/2])
// are rotated by the angle of their position.
#pragma once

#include <cstdint>

#include "core/cuda_stream.h"

namespace magrpo::kernels {

// x: tokens `stride` floats apart, each (heads, dim); y: contiguous (tokens, heads, dim); cos and sin: contiguous
// (tokens, dim / 2). `direction` is 1, or -1 for the inverse rotation, which is also the gradient.
struct RotaryShape {
  int64_t heads, dim, stride;
  float direction;
};

// Tokens [begin, end).
void rotary(const RotaryShape& shape, const float* x, const float* cos, const float* sin, int64_t begin, int64_t end, float* y);

// The same on a CUDA device, queued on `stream`, for tokens [0, tokens).
void rotary_cuda(const RotaryShape& shape, const float* x, const float* cos, const float* sin, int64_t tokens, float* y,
                 core::CudaStream stream);

// The same as plain loops in double.
void rotary_reference(const RotaryShape& shape, const float* x, const float* cos, const float* sin, int64_t begin, int64_t end, float* y);

}  // namespace magrpo::kernels
