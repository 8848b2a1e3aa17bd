#include "model/weights.h"

#include <ATen/ops/empty.h>

#include "core/errors.h"

namespace magrpo::model {

std::vector<at::Tensor*> LayerWeights::tensors() {
  return {&attention_norm,      &qkv,      &qkv_bias, &q_norm,       &k_norm, &output,    &output_bias,
          &attention_post_norm, &mlp_norm, &gate_up,  &gate_up_bias, &down,   &down_bias, &mlp_post_norm};
}

std::vector<at::Tensor> Weights::parameters() const {
  std::vector<at::Tensor> all{embedding};
  for (LayerWeights layer : layers)
    for (const at::Tensor* tensor : layer.tensors())
      if (tensor->defined()) all.push_back(*tensor);
  all.push_back(final_norm);
  if (!head.is_same(embedding)) all.push_back(head);
  return all;
}

int64_t Weights::parameter_count() const {
  int64_t count = 0;
  for (const auto& tensor : parameters()) count += tensor.numel();
  return count;
}

std::string in_layer(std::string name, size_t layer) {
  if (const size_t at = name.find("{layer}"); at != std::string::npos) name.replace(at, 7, std::to_string(layer));
  return name;
}

std::vector<NamedSlice> named_slices(const Config& config, const Weights& weights) {
  const Architecture& arch = *config.architecture;
  std::vector<NamedSlice> slices;
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    if (tensor.defined()) slices.push_back({name + ".weight", tensor, 0, tensor.size(0)});
  };
  add(arch.embedding, weights.embedding);
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    const auto add_parts = [&](const std::vector<Projection>& parts, const char* suffix, const at::Tensor& tensor) {
      int64_t row = 0;
      for (const Projection part : parts) {
        if (!tensor.defined()) continue;
        const ProjectionSpec& projection = arch.projections[part];
        const int64_t rows = config.size_of(projection.out);
        slices.push_back({in_layer(projection.tensor, i) + suffix, tensor, row, rows});
        row += rows;
      }
    };
    add(in_layer(arch.attention_norm, i), layer.attention_norm);
    add_parts({kQuery, kKey, kValue}, ".weight", layer.qkv);
    add_parts({kQuery, kKey, kValue}, ".bias", layer.qkv_bias);
    add(in_layer(arch.query_norm, i), layer.q_norm);
    add(in_layer(arch.key_norm, i), layer.k_norm);
    add_parts({kOutput}, ".weight", layer.output);
    add_parts({kOutput}, ".bias", layer.output_bias);
    add(in_layer(arch.attention_post_norm, i), layer.attention_post_norm);
    add(in_layer(arch.mlp_norm, i), layer.mlp_norm);
    add_parts({kGate, kUp}, ".weight", layer.gate_up);
    add_parts({kGate, kUp}, ".bias", layer.gate_up_bias);
    add_parts({kDown}, ".weight", layer.down);
    add_parts({kDown}, ".bias", layer.down_bias);
    add(in_layer(arch.mlp_post_norm, i), layer.mlp_post_norm);
  }
  add(arch.final_norm, weights.final_norm);
  if (!weights.head.is_same(weights.embedding)) add(arch.head, weights.head);
  return slices;
}

Weights allocate_weights(const Config& config, const at::TensorOptions& options) {
  const auto tensor = [&](at::IntArrayRef shape) { return at::empty(shape, options); };
  const auto tensor_if = [&](bool exists, at::IntArrayRef shape) { return exists ? tensor(shape) : at::Tensor(); };
  const Architecture& arch = *config.architecture;
  const int64_t hidden = config.hidden_size, inner = config.intermediate_size;
  Weights weights;
  weights.embedding = tensor({config.vocab_size, hidden});
  for (int64_t i = 0; i < config.num_layers; ++i) {
    LayerWeights layer;
    layer.attention_norm = tensor({hidden});
    layer.qkv = tensor({config.qkv_size(), hidden});
    layer.qkv_bias = tensor_if(config.qkv_bias, {config.qkv_size()});
    layer.q_norm = tensor_if(!arch.query_norm.empty(), {config.head_dim});
    layer.k_norm = tensor_if(!arch.key_norm.empty(), {config.head_dim});
    layer.output = tensor({hidden, config.q_size()});
    layer.output_bias = tensor_if(config.output_bias, {hidden});
    layer.attention_post_norm = tensor_if(!arch.attention_post_norm.empty(), {hidden});
    layer.mlp_norm = tensor({hidden});
    layer.gate_up = tensor({2 * inner, hidden});
    layer.gate_up_bias = tensor_if(config.mlp_bias, {2 * inner});
    layer.down = tensor({hidden, inner});
    layer.down_bias = tensor_if(config.mlp_bias, {hidden});
    layer.mlp_post_norm = tensor_if(!arch.mlp_post_norm.empty(), {hidden});
    weights.layers.push_back(std::move(layer));
  }
  weights.final_norm = tensor({hidden});
  weights.head = config.tie_word_embeddings ? weights.embedding : tensor({config.vocab_size, hidden});
  return weights;
}

}  // namespace magrpo::model
