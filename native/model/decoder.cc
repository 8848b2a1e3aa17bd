#include "model/decoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>

#include "model/attention.h"
#include "model/linear.h"
#include "model/rms_norm.h"
#include "model/rotary.h"
#include "model/swiglu.h"

namespace magrpo::model {

Decoder::Decoder(Config config, Weights weights)
    : config_(std::move(config)),
      weights_(std::move(weights)),
      inverse_frequencies_(model::inverse_frequencies(config_.rope, config_.head_dim).to(weights_.embedding.device())) {}

at::Tensor Decoder::forward(const PackedBatch& batch, const std::vector<const Adapter*>& adapters, KvCache* cache) const {
  const Rotation rotation = this->rotation(batch.positions);
  at::Tensor x = at::embedding(weights_.embedding, batch.ids);  // (N, h)
  for (size_t layer = 0; layer < weights_.layers.size(); ++layer) {
    x = x + attention_block(rms_norm(x, weights_.layers[layer].input_norm, config_.rms_norm_eps), batch, adapters, layer, rotation,
                            cache);
    x = x + mlp_block(rms_norm(x, weights_.layers[layer].post_norm, config_.rms_norm_eps), batch, adapters, layer);
  }
  return rms_norm(x, weights_.final_norm, config_.rms_norm_eps);
}

at::Tensor Decoder::attention_block(const at::Tensor& x, const PackedBatch& batch, const std::vector<const Adapter*>& adapters,
                                    size_t layer, const Rotation& rotation, KvCache* cache) const {
  const LayerWeights& w = weights_.layers[layer];
  const int64_t tokens = x.size(0), dim = config_.head_dim;
  const at::Tensor qkv = add_adapters(config_, adapters, batch, layer, {kQuery, kKey, kValue}, x, project(x, w.qkv, w.qkv_bias));
  at::Tensor q = qkv.narrow(1, 0, config_.q_size()).view({tokens, config_.num_heads, dim});
  at::Tensor k = qkv.narrow(1, config_.q_size(), config_.kv_size()).view({tokens, config_.num_kv_heads, dim});
  at::Tensor v = qkv.narrow(1, config_.q_size() + config_.kv_size(), config_.kv_size());
  if (config_.qk_norm) {
    q = rms_norm(q, w.q_norm, config_.rms_norm_eps);
    k = rms_norm(k, w.k_norm, config_.rms_norm_eps);
  }
  q = rotate(q, rotation).view({tokens, config_.q_size()});
  k = rotate(k, rotation).view({tokens, config_.kv_size()});
  if (cache != nullptr) {
    cache->keys[layer].index_copy_(0, batch.slots, k.to(at::kFloat));
    cache->values[layer].index_copy_(0, batch.slots, v.to(at::kFloat));
    k = cache->keys[layer];
    v = cache->values[layer];
  }
  const at::Tensor mixed = tree_attention(config_, static_cast<int64_t>(layer), q, k, v, batch);
  return add_adapters(config_, adapters, batch, layer, {kOutput}, mixed, project(mixed, w.output, w.output_bias));
}

at::Tensor Decoder::mlp_block(const at::Tensor& x, const PackedBatch& batch, const std::vector<const Adapter*>& adapters,
                              size_t layer) const {
  const LayerWeights& w = weights_.layers[layer];
  const at::Tensor gate_up = add_adapters(config_, adapters, batch, layer, {kGate, kUp}, x, project(x, w.gate_up, w.gate_up_bias));
  const at::Tensor activated = swiglu(gate_up);
  return add_adapters(config_, adapters, batch, layer, {kDown}, activated, project(activated, w.down, w.down_bias));
}

at::Tensor Decoder::logits(const at::Tensor& hidden) const { return project(hidden, weights_.head).to(at::kFloat); }

}  // namespace magrpo::model
