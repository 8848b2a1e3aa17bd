#include "model/weights.h"

#include <ATen/ops/empty.h>

#include "core/errors.h"

namespace magrpo::model {

std::vector<at::Tensor> Weights::parameters() const {
  std::vector<at::Tensor> all{embedding};
  for (const auto& layer : layers)
    for (const auto& tensor : {layer.input_norm, layer.qkv, layer.qkv_bias, layer.q_norm, layer.k_norm, layer.output,
                               layer.output_bias, layer.post_norm, layer.gate_up, layer.gate_up_bias, layer.down, layer.down_bias})
      if (tensor.defined()) all.push_back(tensor);
  all.push_back(final_norm);
  if (!head.is_same(embedding)) all.push_back(head);
  return all;
}

int64_t Weights::parameter_count() const {
  int64_t count = 0;
  for (const auto& tensor : parameters()) count += tensor.numel();
  return count;
}

std::vector<NamedSlice> named_slices(const Config& config, const Weights& weights) {
  std::vector<NamedSlice> slices;
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    if (tensor.defined()) slices.push_back({name, tensor, 0, tensor.size(0)});
  };
  const auto add_parts = [&](const std::string& prefix, const std::vector<std::pair<std::string, int64_t>>& parts,
                             const std::string& suffix, const at::Tensor& tensor) {
    if (!tensor.defined()) return;
    int64_t row = 0;
    for (const auto& [part, rows] : parts) {
      slices.push_back({prefix + part + suffix, tensor, row, rows});
      row += rows;
    }
  };
  const std::vector<std::pair<std::string, int64_t>> qkv{
      {"q_proj", config.q_size()}, {"k_proj", config.kv_size()}, {"v_proj", config.kv_size()}};
  const std::vector<std::pair<std::string, int64_t>> gate_up{{"gate_proj", config.intermediate_size},
                                                             {"up_proj", config.intermediate_size}};
  add("model.embed_tokens.weight", weights.embedding);
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const auto& layer = weights.layers[i];
    const std::string prefix = core::concat("model.layers.", i, ".");
    add(prefix + "input_layernorm.weight", layer.input_norm);
    add_parts(prefix + "self_attn.", qkv, ".weight", layer.qkv);
    add_parts(prefix + "self_attn.", qkv, ".bias", layer.qkv_bias);
    add(prefix + "self_attn.q_norm.weight", layer.q_norm);
    add(prefix + "self_attn.k_norm.weight", layer.k_norm);
    add(prefix + "self_attn.o_proj.weight", layer.output);
    add(prefix + "self_attn.o_proj.bias", layer.output_bias);
    add(prefix + "post_attention_layernorm.weight", layer.post_norm);
    add_parts(prefix + "mlp.", gate_up, ".weight", layer.gate_up);
    add_parts(prefix + "mlp.", gate_up, ".bias", layer.gate_up_bias);
    add(prefix + "mlp.down_proj.weight", layer.down);
    add(prefix + "mlp.down_proj.bias", layer.down_bias);
  }
  add("model.norm.weight", weights.final_norm);
  if (!weights.head.is_same(weights.embedding)) add("lm_head.weight", weights.head);
  return slices;
}

Weights allocate_weights(const Config& config, const at::TensorOptions& options) {
  const auto tensor = [&](at::IntArrayRef shape) { return at::empty(shape, options); };
  const int64_t hidden = config.hidden_size;
  Weights weights;
  weights.embedding = tensor({config.vocab_size, hidden});
  for (int64_t i = 0; i < config.num_layers; ++i) {
    LayerWeights layer;
    layer.input_norm = tensor({hidden});
    layer.qkv = tensor({config.qkv_size(), hidden});
    if (config.qkv_bias) layer.qkv_bias = tensor({config.qkv_size()});
    if (config.qk_norm) {
      layer.q_norm = tensor({config.head_dim});
      layer.k_norm = tensor({config.head_dim});
    }
    layer.output = tensor({hidden, config.q_size()});
    if (config.output_bias) layer.output_bias = tensor({hidden});
    layer.post_norm = tensor({hidden});
    layer.gate_up = tensor({2 * config.intermediate_size, hidden});
    layer.down = tensor({hidden, config.intermediate_size});
    if (config.mlp_bias) {
      layer.gate_up_bias = tensor({2 * config.intermediate_size});
      layer.down_bias = tensor({hidden});
    }
    weights.layers.push_back(std::move(layer));
  }
  weights.final_norm = tensor({hidden});
  weights.head = config.tie_word_embeddings ? weights.embedding : tensor({config.vocab_size, hidden});
  return weights;
}

}  // namespace magrpo::model
