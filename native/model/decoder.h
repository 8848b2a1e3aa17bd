// A decoder-only transformer of the Llama line (llama, mistral, qwen2, qwen3).
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "core/live_objects.h"
#include "model/config.h"
#include "model/kv_cache.h"
#include "model/lora.h"
#include "model/packed_batch.h"
#include "model/rotary.h"
#include "model/weights.h"

namespace magrpo::model {

// Weights and the forward pass. Call on the executor thread only; gradients flow where grad mode is on and weights want them.
class Decoder : Counted<Decoder> {
 public:
  Decoder(Config config, Weights weights);
  using Counted<Decoder>::alive;

  // Hidden states after the final norm: (N, h). With a cache, the pass's keys and values are written to `batch.slots` first.
  // `checkpoints`: of each layer the graph keeps its input only, and backward computes the layer again (Chen et al. 2016); batch
  // and adapters must outlive it.
  at::Tensor forward(const PackedBatch& batch, const std::vector<const Adapter*>& adapters, KvCache* cache,
                     bool checkpoints = false) const;

  // (M, h) hidden states to (M, V) float32 logits.
  at::Tensor logits(const at::Tensor& hidden) const;

  // Of the tokens' positions (N) int64.
  Rotation rotation(const at::Tensor& positions) const { return model::rotation(inverse_frequencies_, positions); }

  const Config& config() const { return config_; }
  const Weights& weights() const { return weights_; }
  Weights& weights() { return weights_; }
  at::Device device() const { return weights_.embedding.device(); }

 private:
  class CheckpointedLayer;

  at::Tensor layer(const at::Tensor& x, const PackedBatch& batch, const std::vector<const Adapter*>& adapters, size_t number,
                   const Rotation& rotation, KvCache* cache) const;
  at::Tensor attention_block(const at::Tensor& x, const PackedBatch& batch, const std::vector<const Adapter*>& adapters,
                             size_t layer, const Rotation& rotation, KvCache* cache) const;
  at::Tensor mlp_block(const at::Tensor& x, const PackedBatch& batch, const std::vector<const Adapter*>& adapters,
                       size_t layer) const;

  Config config_;
  Weights weights_;
  at::Tensor inverse_frequencies_;  // (D / 2)
};

}  // namespace magrpo::model
