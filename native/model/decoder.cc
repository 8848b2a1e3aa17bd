#include "model/decoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>

#include <cmath>
#include <exception>

#include "model/attention.h"
#include "model/autograd.h"
#include "model/decode_graph.h"
#include "model/linear.h"
#include "model/rms_norm.h"
#include "model/rotary.h"

namespace magrpo::model {

Decoder::Decoder(Config config, Weights weights) : config_(std::move(config)), weights_(std::move(weights)) {
  for (const Rope& rope : config_.ropes) inverse_frequencies_.push_back(inverse_frequencies(rope, config_.head_dim).to(device()));
  if (config_.architecture->embedding_scale == EmbeddingScale::sqrt_hidden_size) {
    embedding_scale_ = static_cast<float>(std::sqrt(static_cast<double>(config_.hidden_size)));
    // Rounded as the weights are, as the checkpoints were trained.
    if (weights_.embedding.scalar_type() == at::kBFloat16) embedding_scale_ = static_cast<float>(c10::BFloat16(embedding_scale_));
  }
  if constexpr (core::kHasCuda) stream_ = core::cuda::make_model_stream(device());
}

Decoder::~Decoder() {
  if constexpr (core::kHasCuda) {
    if (!stream_) return;
    // The weights were there before the stream: libtorch would give their memory to further work of the default stream at once.
    try {
      const core::DeviceScope scope = on_device();
      core::cuda::synchronize(*core::cuda::record_event(device()));
    } catch (const std::exception&) {
      // A device that failed runs nothing any more.
    }
  }
}

void Decoder::upload(const PackedBatch& batch) const {
  if (!device().is_cuda() || batch.device) return;
  kernels::AttentionShape shape{};
  shape.heads = config_.num_heads;
  shape.kv_heads = config_.num_kv_heads;
  shape.head_dim = config_.head_dim;
  batch.device = model::upload(batch, shape, device());
}

std::vector<Rotation> Decoder::rotations(const at::Tensor& positions) const {
  std::vector<Rotation> all;
  for (const at::Tensor& frequencies : inverse_frequencies_) all.push_back(rotation(frequencies, positions));
  return all;
}

class Decoder::CheckpointedLayer : public torch::autograd::Function<CheckpointedLayer> {
 public:
  struct Call {
    const Decoder* decoder;
    const PackedBatch* batch;
    const std::vector<const Adapter*>* adapters;
    size_t number;
    Rotation rotation;

    at::Tensor operator()(const at::Tensor& x) const { return decoder->layer(x, *batch, *adapters, number, rotation, nullptr); }
  };

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const Call& call) {
    ctx->save_for_backward({x, call.rotation.cos, call.rotation.sin});
    ctx->saved_data["number"] = static_cast<int64_t>(call.number);
    ctx->saved_data["decoder"] = reinterpret_cast<int64_t>(call.decoder);
    ctx->saved_data["batch"] = reinterpret_cast<int64_t>(call.batch);
    ctx->saved_data["adapters"] = reinterpret_cast<int64_t>(call.adapters);
    return call(x);
  }

  // The layer's own weights get their gradients here, as leaves of a graph of its own.
  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const at::AutoGradMode grad_mode(true);
    const auto saved = ctx->get_saved_variables();
    const auto pointer = [ctx](const char* name) { return ctx->saved_data[name].toInt(); };
    const Call call{reinterpret_cast<const Decoder*>(pointer("decoder")),
                    reinterpret_cast<const PackedBatch*>(pointer("batch")),
                    reinterpret_cast<const std::vector<const Adapter*>*>(pointer("adapters")),
                    static_cast<size_t>(pointer("number")),
                    {saved[1], saved[2]}};
    const at::Tensor x = saved[0].detach().requires_grad_(true);
    call(x).backward(gradients[0]);
    return {x.grad(), at::Tensor()};
  }
};

at::Tensor Decoder::forward(const PackedBatch& batch, const std::vector<const Adapter*>& adapters, KvCache* cache, bool checkpoints) const {
  upload(batch);
  const at::Tensor& ids = batch.device ? batch.device->ids : batch.ids;
  const at::Tensor& positions = batch.device ? batch.device->positions : batch.positions;
  const std::vector<Rotation> rotations = this->rotations(positions);
  // The table's gradient is a few rows; as a sparse tensor it is added to that of a tied head, which is a table already.
  const bool is_tied = weights_.head.is_same(weights_.embedding);
  at::Tensor x = at::embedding(weights_.embedding, ids, /*padding_idx=*/-1, /*scale_grad_by_freq=*/false, is_tied);  // (N, h)
  if (embedding_scale_ != 1.0f) x = x * embedding_scale_;
  checkpoints = checkpoints && at::GradMode::is_enabled();
  // A frozen embedding's output would leave the first layers outside of the graph.
  if (checkpoints && !x.requires_grad()) x.requires_grad_(true);
  for (size_t number = 0; number < weights_.layers.size(); ++number) {
    const Rotation& rotation = rotations[config_.rope_of(number)];
    x = checkpoints ? CheckpointedLayer::apply(x, CheckpointedLayer::Call{this, &batch, &adapters, number, rotation})
                    : layer(x, batch, adapters, number, rotation, cache);
  }
  return rms_norm(x, weights_.final_norm, norm());
}

at::Tensor Decoder::layer(const at::Tensor& x, const PackedBatch& batch, const std::vector<const Adapter*>& adapters, size_t number,
                          const Rotation& rotation, KvCache* cache) const {
  const LayerWeights& w = weights_.layers[number];
  const auto after = [this](const at::Tensor& y, const at::Tensor& weight) { return weight.defined() ? rms_norm(y, weight, norm()) : y; };
  const at::Tensor attention = attention_block(ProductInput::normed(x, w.attention_norm, norm()), batch, adapters, number, rotation, cache);
  const at::Tensor attended = x + after(attention, w.attention_post_norm);
  const at::Tensor mlp = mlp_block(ProductInput::normed(attended, w.mlp_norm, norm()), batch, adapters, number);
  return attended + after(mlp, w.mlp_post_norm);
}

at::Tensor Decoder::attention_block(const ProductInput& input, const PackedBatch& batch, const std::vector<const Adapter*>& adapters,
                                    size_t layer, const Rotation& rotation, KvCache* cache) const {
  const LayerWeights& w = weights_.layers[layer];
  const int64_t tokens = input.source.size(0), dim = config_.head_dim;
  // 1. Project
  const at::Tensor qkv =
      adapted_product(config_, adapters, batch, layer, {kQuery, kKey, kValue}, input, w.qkv, w.qkv_bias);  // (N, (H + 2K) x D)
  // One split: its backward pass joins the gradients, where three slices would add up three tensors of the whole size.
  const auto split = qkv.split_with_sizes({config_.q_size(), config_.kv_size(), config_.kv_size()}, 1);
  at::Tensor q = split[0].view({tokens, config_.num_heads, dim}), k = split[1].view({tokens, config_.num_kv_heads, dim}), v = split[2];
  // 2. Norm and rotate
  if (w.q_norm.defined()) q = rms_norm(q, w.q_norm, norm());
  if (w.k_norm.defined()) k = rms_norm(k, w.k_norm, norm());
  q = rotate(q, rotation).view({tokens, config_.q_size()});   // (N, H x D)
  k = rotate(k, rotation).view({tokens, config_.kv_size()});  // (N, K x D)
  // 3. Keys and values of all that was seen: (slots, K x D)
  if (cache != nullptr) {
    const at::Tensor& slots = batch.device ? batch.device->slots : batch.slots;
    cache->keys[layer].index_copy_(0, slots, k.to(at::kFloat));
    cache->values[layer].index_copy_(0, slots, v.to(at::kFloat));
    k = cache->keys[layer];
    v = cache->values[layer];
  }
  // 4. Attend and project: (N, H x D), then (N, h)
  const at::Tensor attended = tree_attention(config_, static_cast<int64_t>(layer), q, k, v, batch);
  return adapted_product(config_, adapters, batch, layer, {kOutput}, ProductInput::plain(attended), w.output, w.output_bias);
}

at::Tensor Decoder::mlp_block(const ProductInput& input, const PackedBatch& batch, const std::vector<const Adapter*>& adapters,
                              size_t layer) const {
  const LayerWeights& w = weights_.layers[layer];
  const at::Tensor gate_up = adapted_product(config_, adapters, batch, layer, {kGate, kUp}, input, w.gate_up, w.gate_up_bias);
  return adapted_product(config_, adapters, batch, layer, {kDown}, ProductInput::gated(config_.architecture->activation, gate_up), w.down,
                         w.down_bias);
}

at::Tensor Decoder::step_logits(const PackedBatch& batch, const std::vector<const Adapter*>& adapters, KvCache& cache) const {
  if constexpr (core::kHasCuda)
    if (device().is_cuda() && decode_graphs_wanted()) {
      if (!cache.graph) cache.graph = std::make_shared<DecodeGraph>();
      return cache.graph->logits(*this, batch, adapters, cache);
    }
  return logits(forward(batch, adapters, &cache));
}

at::Tensor Decoder::logits(const at::Tensor& hidden) const { return project(hidden, weights_.head).to(at::kFloat); }

}  // namespace magrpo::model
