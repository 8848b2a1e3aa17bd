// Products of a layer with the adapters of each policy's tokens.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "model/lora.h"
#include "model/packed_batch.h"
#include "model/rms_norm.h"
#include "model/swiglu.h"

namespace magrpo::model {

// What a product multiplies: a source that is kept for the backward pass anyway, or what is computed from it again there.
struct ProductInput {
  enum Kind : int64_t { kPlain, kGated, kNormed };

  Kind kind;
  at::Tensor source;       // (N, in); gated: (N, 2 · in)
  at::Tensor norm_weight;  // normed: (in)
  NormSettings norm{};
  Activation activation{};

  static ProductInput plain(const at::Tensor& x) { return {kPlain, x, {}}; }
  // gated(activation, gate_up)
  static ProductInput gated(Activation activation, const at::Tensor& gate_up) { return {kGated, gate_up, {}, {}, activation}; }
  // rms_norm(x, weight, norm)
  static ProductInput normed(const at::Tensor& x, const at::Tensor& weight, NormSettings norm) { return {kNormed, x, weight, norm}; }
};

// The joint output (N, Σ out) of `projections` for input x (N, in): x weightᵀ + bias and, for each policy's tokens, its adapter;
// differentiable. `adapters[p]` belongs to policy p of the batch, nullptr: none.
at::Tensor adapted_product(const Config& config, const std::vector<const Adapter*>& adapters, const PackedBatch& batch, size_t layer,
                           const std::vector<Projection>& projections, const ProductInput& input, const at::Tensor& weight,
                           const at::Tensor& bias);

}  // namespace magrpo::model
