#include "model/weights.h"

#include <ATen/ops/empty.h>

#include <utility>

namespace magrpo::model {

namespace {

// A tensor of a layer, and the checkpoint's tensors that it holds one below the other.
struct LayerTensor {
  at::Tensor LayerWeights::* member;
  std::vector<int64_t> shape;
  std::vector<std::pair<std::string, int64_t>> parts;  // names and rows
};

// Those that the architecture has, in checkpoint order.
std::vector<LayerTensor> layer_tensors(const Config& config, size_t layer) {
  const Architecture& arch = *config.architecture;
  std::vector<LayerTensor> all;
  const auto add_norm = [&](at::Tensor LayerWeights::* member, const std::string& name, int64_t size) {
    if (!name.empty()) all.push_back({member, {size}, {{in_layer(name, layer) + ".weight", size}}});
  };
  const auto add_product = [&](at::Tensor LayerWeights::* weight, at::Tensor LayerWeights::* bias, bool has_bias,
                               const std::vector<Projection>& projections) {
    LayerTensor matrix{weight, {0, config.size_of(arch.projections[projections[0]].in)}, {}}, vector{bias, {0}, {}};
    for (const Projection p : projections) {
      const std::string name = in_layer(arch.projections[p].tensor, layer);
      const int64_t rows = config.size_of(arch.projections[p].out);
      matrix.parts.emplace_back(name + ".weight", rows);
      vector.parts.emplace_back(name + ".bias", rows);
      vector.shape[0] = matrix.shape[0] += rows;
    }
    all.push_back(std::move(matrix));
    if (has_bias) all.push_back(std::move(vector));
  };
  add_norm(&LayerWeights::attention_norm, arch.attention_norm, config.hidden_size);
  add_product(&LayerWeights::qkv, &LayerWeights::qkv_bias, config.qkv_bias, {kQuery, kKey, kValue});
  add_norm(&LayerWeights::q_norm, arch.query_norm, config.head_dim);
  add_norm(&LayerWeights::k_norm, arch.key_norm, config.head_dim);
  add_product(&LayerWeights::output, &LayerWeights::output_bias, config.output_bias, {kOutput});
  add_norm(&LayerWeights::attention_post_norm, arch.attention_post_norm, config.hidden_size);
  add_norm(&LayerWeights::mlp_norm, arch.mlp_norm, config.hidden_size);
  add_product(&LayerWeights::gate_up, &LayerWeights::gate_up_bias, config.mlp_bias, {kGate, kUp});
  add_product(&LayerWeights::down, &LayerWeights::down_bias, config.mlp_bias, {kDown});
  add_norm(&LayerWeights::mlp_post_norm, arch.mlp_post_norm, config.hidden_size);
  return all;
}

}  // namespace

std::string in_layer(std::string name, size_t layer) {
  if (const size_t at = name.find("{layer}"); at != std::string::npos) name.replace(at, 7, std::to_string(layer));
  return name;
}

std::vector<NamedSlice> named_slices(const Config& config, const Weights& weights) {
  const Architecture& arch = *config.architecture;
  std::vector<NamedSlice> slices;
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    slices.push_back({name + ".weight", tensor, 0, tensor.size(0)});
  };
  add(arch.embedding, weights.embedding);
  for (size_t i = 0; i < weights.layers.size(); ++i)
    for (const auto& [member, shape, parts] : layer_tensors(config, i)) {
      int64_t row = 0;
      for (const auto& [name, rows] : parts) slices.push_back({name, weights.layers[i].*member, std::exchange(row, row + rows), rows});
    }
  add(arch.final_norm, weights.final_norm);
  if (!weights.head.is_same(weights.embedding)) add(arch.head, weights.head);
  return slices;
}

Weights allocate_weights(const Config& config, const at::TensorOptions& options) {
  Weights weights;
  weights.embedding = at::empty({config.vocab_size, config.hidden_size}, options);
  weights.layers.resize(static_cast<size_t>(config.num_layers));
  for (size_t i = 0; i < weights.layers.size(); ++i)
    for (const auto& [member, shape, parts] : layer_tensors(config, i)) weights.layers[i].*member = at::empty(shape, options);
  weights.final_norm = at::empty({config.hidden_size}, options);
  weights.head = config.tie_word_embeddings ? weights.embedding : at::empty({config.vocab_size, config.hidden_size}, options);
  return weights;
}

}  // namespace magrpo::model
