// Products of a layer with the adapters of each policy's tokens.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "model/lora.h"
#include "model/packed_batch.h"

namespace magrpo::model {

// What a product multiplies.
struct ProductInput {
  at::Tensor source;      // (N, in), or (N, 2 · in) if gated
  bool is_gated = false;  // swiglu(source): computed again in the backward pass rather than kept for it
};

// The joint output (N, Σ out) of `projections` for input x (N, in): x weightᵀ + bias and, for each policy's tokens, its adapter;
// differentiable. `adapters[p]` belongs to policy p of the batch, nullptr: none.
at::Tensor adapted_product(const Config& config, const std::vector<const Adapter*>& adapters, const PackedBatch& batch, size_t layer,
                           const std::vector<Projection>& projections, const ProductInput& input, const at::Tensor& weight,
                           const at::Tensor& bias);

}  // namespace magrpo::model
