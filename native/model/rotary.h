// Rotary position embedding (Su et al. 2021), in the half-split layout of Hugging Face checkpoints.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/config.h"

namespace magrpo::model {

// (D / 2) float32 inverse frequencies, scaled as the settings say (llama3: by wavelength, smoothed between the two bounds).
at::Tensor inverse_frequencies(const Rope& rope, int64_t head_dim);

// cos and sin of the rotation of each position: (N, 1, D / 2) float32 each.
struct Rotation {
  at::Tensor cos;
  at::Tensor sin;
};

Rotation rotation(const at::Tensor& inverse_frequencies, const at::Tensor& positions);

// x: (N, heads, D). Rotates the pairs (x[d], x[d + D/2]); contiguous; differentiable in x.
at::Tensor rotate(const at::Tensor& x, const Rotation& rotation);

}  // namespace magrpo::model
