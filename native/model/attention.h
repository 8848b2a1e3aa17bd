// Tree attention as a differentiable operation on tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/config.h"
#include "model/packed_batch.h"

namespace magrpo::model {

// q: (N, H x D), k and v: (slots, K x D), all with unit inner stride. Returns (N, H x D) in q's dtype.
// Keys of a pass are its own rows (slots = N) unless they come from a cache; gradients exist in the first case only.
at::Tensor tree_attention(const Config& config, int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const PackedBatch& batch);

}  // namespace magrpo::model
