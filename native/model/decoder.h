// A decoder-only transformer of the Llama line, as its architecture (arch/NAME.json) says.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "core/device.h"
#include "core/live_objects.h"
#include "model/adapted_product.h"
#include "model/config.h"
#include "model/kv_cache.h"
#include "model/packed_batch.h"
#include "model/rotary.h"
#include "model/weights.h"

namespace magrpo::model {

// Weights and the forward pass. Call on the executor thread only; gradients flow where grad mode is on and weights want them.
class Decoder : core::Counted<Decoder> {
 public:
  Decoder(Config config, Weights weights);
  // Waits for the work of the model's own stream, if it has one.
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  using core::Counted<Decoder>::alive;

  // Hidden states after the final norm: (N, h). With a cache, the pass's keys and values are written to `batch.slots` first.
  // `checkpoints`: of each layer the graph keeps its input only, and backward computes the layer again (Chen et al. 2016); batch
  // and adapters must outlive it.
  at::Tensor forward(const PackedBatch& batch, const std::vector<const Adapter*>& adapters, KvCache* cache, bool checkpoints = false) const;

  // A decoding step: logits (N, V) of every row of the batch. On CUDA devices by a recorded graph, where that is switched on.
  at::Tensor step_logits(const PackedBatch& batch, const std::vector<const Adapter*>& adapters, KvCache& cache) const;

  // Uploads the batch to a CUDA device, once; forward does it where nobody did before.
  void upload(const PackedBatch& batch) const;

  // Belongs around everything that is computed with this decoder: its device, and its own stream if it has one.
  core::DeviceScope on_device() const { return core::DeviceScope(device(), stream_.get()); }

  // (M, h) hidden states to (M, V) float32 logits.
  at::Tensor logits(const at::Tensor& hidden) const;

  // Of the tokens' positions (N) int64, for each of the config's ropes.
  std::vector<Rotation> rotations(const at::Tensor& positions) const;

  // What a token's row of the table is multiplied with.
  float embedding_scale() const { return embedding_scale_; }
  NormSettings norm() const { return {config_.rms_norm_eps, config_.architecture->norm_offset}; }

  const Config& config() const { return config_; }
  const Weights& weights() const { return weights_; }
  Weights& weights() { return weights_; }
  at::Device device() const { return weights_.embedding.device(); }

 private:
  class CheckpointedLayer;

  at::Tensor layer(const at::Tensor& x, const PackedBatch& batch, const std::vector<const Adapter*>& adapters, size_t number,
                   const Rotation& rotation, KvCache* cache) const;
  at::Tensor attention_block(const ProductInput& input, const PackedBatch& batch, const std::vector<const Adapter*>& adapters, size_t layer,
                             const Rotation& rotation, KvCache* cache) const;
  at::Tensor mlp_block(const ProductInput& input, const PackedBatch& batch, const std::vector<const Adapter*>& adapters,
                       size_t layer) const;

  Config config_;
  Weights weights_;
  std::vector<at::Tensor> inverse_frequencies_;  // (D / 2) of each of the ropes
  float embedding_scale_ = 1.0f;
  std::shared_ptr<const c10::Stream> stream_;  // of a CUDA device, if the model has its own
};

}  // namespace magrpo::model
