#include "test/tiny_decoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <numbers>

namespace magrpo::test {

model::Config tiny_config(const std::string& architecture) {
  model::Config config;
  config.vocab_size = 23;
  config.hidden_size = 12;
  config.intermediate_size = 20;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 6;
  config.architecture = &model::find_architecture(architecture);
  config.qkv_bias = config.output_bias = config.mlp_bias = true;
  config.ropes[0].theta = 100.0;
  config.sliding_windows = {0, 4};
  if (architecture == "gemma3_text") {
    config.query_scalar = 9.0;
    config.ropes.push_back({.theta = 30.0});
  }
  return config;
}

std::vector<at::Tensor> parameters(const model::Config& config, const model::Weights& weights) {
  std::vector<at::Tensor> all;
  for (const auto& slice : model::named_slices(config, weights))
    if (slice.row == 0) all.push_back(slice.tensor);
  return all;
}

std::shared_ptr<model::Decoder> tiny_decoder(const model::Config& config, uint64_t seed, at::ScalarType dtype) {
  model::Weights weights = model::allocate_weights(config, at::TensorOptions().dtype(dtype));
  for (const auto& tensor : parameters(config, weights)) {
    const double scale = tensor.dim() == 1 ? 0.3 : 1.0 / std::sqrt(static_cast<double>(tensor.size(1)));
    tensor.copy_(random(tensor.sizes(), seed++) * scale + (tensor.dim() == 1 ? 0.7 : 0.0));
  }
  weights.embedding.mul_(2.0);
  return std::make_shared<model::Decoder>(config, std::move(weights));
}

model::Adapter random_adapter(const model::Config& config, int64_t rank, double scale, const std::vector<std::string>& targets,
                              uint64_t seed) {
  model::Adapter adapter = model::make_adapter(config, {rank, scale, targets, seed}, at::kCPU);
  for (const auto& slice : model::named_slices(adapter)) slice.tensor.copy_(random(slice.tensor.sizes(), ++seed) * 0.4);
  return adapter;
}

namespace {

at::Tensor leaf(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  return tensor.detach().to(at::kDouble, /*non_blocking=*/false, /*copy=*/true).set_requires_grad(true);
}

// x: (T, D), the token at t stands at position t.
at::Tensor turned(const at::Tensor& x, double theta) {
  const int64_t half = x.size(1) / 2;
  at::Tensor cos = at::empty({x.size(0), half}, at::kDouble), sin = at::empty({x.size(0), half}, at::kDouble);
  for (int64_t t = 0; t < x.size(0); ++t)
    for (int64_t d = 0; d < half; ++d) {
      const double angle = static_cast<double>(t) * std::pow(theta, -static_cast<double>(d) / static_cast<double>(half));
      cos[t][d] = std::cos(angle);
      sin[t][d] = std::sin(angle);
    }
  const at::Tensor a = x.narrow(1, 0, half), b = x.narrow(1, half, half);
  return at::cat({a * cos - b * sin, b * cos + a * sin}, 1);
}

// One text through one decoder: everything written as in the papers, a head at a time.
struct NaiveDecoder {
  const model::Config& config;
  const model::Weights& weights;
  const model::Adapter* adapter;

  at::Tensor normed(const at::Tensor& x, const at::Tensor& weight) const {
    return x / ((x * x).mean(-1, /*keepdim=*/true) + config.rms_norm_eps).sqrt() * (weight + config.architecture->norm_offset);
  }

  // What goes to the residual stream.
  at::Tensor out(const at::Tensor& x, const at::Tensor& weight) const { return weight.defined() ? normed(x, weight) : x; }

  // x through rows [row, row + size) of a joint matrix, with the projection's adapter.
  at::Tensor project(const at::Tensor& x, const at::Tensor& matrix, const at::Tensor& bias, int64_t row, size_t layer,
                     model::Projection projection) const {
    const int64_t size = model::output_size(config, projection);
    at::Tensor y = x.matmul(matrix.narrow(0, row, size).t());
    if (bias.defined()) y = y + bias.narrow(0, row, size);
    if (adapter == nullptr || !adapter->layers[layer][projection].a.defined()) return y;
    const auto& [a, b] = adapter->layers[layer][projection];
    return y + x.matmul(a.t()).matmul(b.t()) * adapter->scale;
  }

  at::Tensor attention(const at::Tensor& x, size_t layer) const {
    const auto& w = weights.layers[layer];
    const int64_t dim = config.head_dim, tokens = x.size(0), window = config.sliding_windows[layer];
    const at::Tensor q = project(x, w.qkv, w.qkv_bias, 0, layer, model::kQuery);
    const at::Tensor k = project(x, w.qkv, w.qkv_bias, config.q_size(), layer, model::kKey);
    const at::Tensor v = project(x, w.qkv, w.qkv_bias, config.q_size() + config.kv_size(), layer, model::kValue);
    const double theta = config.ropes[config.ropes.size() > 1 && window > 0 ? 1 : 0].theta;
    at::Tensor hidden = at::zeros({tokens, tokens}, at::kBool);
    for (int64_t i = 0; i < tokens; ++i)
      for (int64_t j = 0; j < tokens; ++j) hidden[i][j] = j > i || (window > 0 && i - j >= window);
    std::vector<at::Tensor> heads;
    for (int64_t h = 0; h < config.num_heads; ++h) {
      const int64_t kv = h / (config.num_heads / config.num_kv_heads);
      at::Tensor query = q.narrow(1, h * dim, dim), key = k.narrow(1, kv * dim, dim);
      if (w.q_norm.defined()) {
        query = normed(query, w.q_norm);
        key = normed(key, w.k_norm);
      }
      const at::Tensor products = turned(query, theta).matmul(turned(key, theta).t());
      const at::Tensor scores = products / std::sqrt(config.query_scalar > 0.0 ? config.query_scalar : static_cast<double>(dim));
      heads.push_back(at::softmax(scores.masked_fill(hidden, -INFINITY), -1).matmul(v.narrow(1, kv * dim, dim)));
    }
    return project(at::cat(heads, 1), w.output, w.output_bias, 0, layer, model::kOutput);
  }

  at::Tensor activated(const at::Tensor& gate) const {
    if (config.architecture->activation == model::Activation::silu) return gate / ((-gate).exp() + 1.0);
    return gate * (((gate + gate.pow(3) * 0.044715) * std::sqrt(2.0 / std::numbers::pi)).tanh() + 1.0) * 0.5;
  }

  at::Tensor mlp(const at::Tensor& x, size_t layer) const {
    const auto& w = weights.layers[layer];
    const at::Tensor gate = project(x, w.gate_up, w.gate_up_bias, 0, layer, model::kGate);
    const at::Tensor up = project(x, w.gate_up, w.gate_up_bias, config.intermediate_size, layer, model::kUp);
    return project(activated(gate) * up, w.down, w.down_bias, 0, layer, model::kDown);
  }
};

}  // namespace

model::Weights in_double(const model::Config& config, const model::Weights& weights) {
  model::Weights copy = model::allocate_weights(config, at::kDouble);
  const auto to = parameters(config, copy), from = parameters(config, weights);
  for (size_t i = 0; i < to.size(); ++i) at::Tensor(to[i]).copy_(from[i].detach()).set_requires_grad(true);
  return copy;
}

model::Adapter in_double(const model::Adapter& adapter) {
  model::Adapter copy = adapter;
  for (auto& layer : copy.layers)
    for (auto& low_rank : layer) low_rank = {leaf(low_rank.a), leaf(low_rank.b)};
  return copy;
}

at::Tensor naive_log_probs(const model::Config& config, const model::Weights& weights, const model::Adapter* adapter,
                           const std::vector<int32_t>& ids) {
  const NaiveDecoder decoder{config, weights, adapter};
  std::vector<at::Tensor> embedded;
  for (const int32_t id : ids) embedded.push_back(weights.embedding.narrow(0, id, 1));
  at::Tensor x = at::cat(embedded, 0);
  if (config.architecture->embedding_scale == model::EmbeddingScale::sqrt_hidden_size)
    x = x * std::sqrt(static_cast<double>(config.hidden_size));
  for (size_t layer = 0; layer < weights.layers.size(); ++layer) {
    const model::LayerWeights& w = weights.layers[layer];
    x = x + decoder.out(decoder.attention(decoder.normed(x, w.attention_norm), layer), w.attention_post_norm);
    x = x + decoder.out(decoder.mlp(decoder.normed(x, w.mlp_norm), layer), w.mlp_post_norm);
  }
  return at::log_softmax(decoder.normed(x, weights.final_norm).matmul(weights.head.t()), -1);
}

}  // namespace magrpo::test
