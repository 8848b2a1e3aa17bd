#include "model/row_decoder.h"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <functional>

#include "core/parallel.h"
#include "kernels/low_rank/low_rank.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rotary/rotary.h"
#include "kernels/row_product/row_product.h"
#include "kernels/swiglu/swiglu.h"
#include "kernels/tree_attention/tree_attention.h"
#include "model/rows.h"

namespace magrpo::model {
namespace {

// Keys that attention's memory is made for beyond those it needs.
constexpr int64_t kMoreContext = 512;

at::Tensor int64_tensor(const std::vector<int64_t>& values) {
  at::Tensor tensor = at::empty({static_cast<int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<int64_t>());
  return tensor;
}

}  // namespace

void RowBatch::clear() {
  ids.clear();
  positions.clear();
  slots.clear();
  policies.clear();
  spans.clear();
  ranges.clear();
}

PackedBatch RowBatch::packed() const {
  PackedBatch batch;
  batch.ids = int64_tensor(ids);
  batch.positions = int64_tensor(positions);
  batch.slots = int64_tensor(slots);
  batch.policies = policies;
  batch.spans = spans;
  batch.ranges = ranges;
  return batch;
}

bool RowDecoder::supports(const Decoder& decoder) {
  const at::Tensor& weights = decoder.weights().embedding;
  return weights.is_cpu() && weights.scalar_type() == at::kFloat;
}

RowDecoder::RowDecoder(const Decoder& decoder, const std::vector<const Adapter*>& adapters)
    : decoder_(decoder), adapters_(adapters), transposed_(adapters.size()) {
  for (size_t policy = 0; policy < adapters.size(); ++policy) {
    if (adapters[policy] == nullptr) continue;
    for (const auto& layer : adapters[policy]->layers) {
      auto& to = transposed_[policy].emplace_back();
      for (size_t p = 0; p < layer.size(); ++p)
        if (layer[p].b.defined()) to[p] = layer[p].b.detach().t().contiguous();
    }
  }
}

void RowDecoder::reserve(const RowBatch& batch) {
  rows_ = batch.rows();
  const Config& config = decoder_.config();
  const auto fit = [this](core::Floats& buffer, int64_t width) {
    if (static_cast<int64_t>(buffer.size()) < rows_ * width) buffer.resize(static_cast<size_t>(rows_ * width));
  };
  fit(hidden_, config.hidden_size);
  fit(normalized_, config.hidden_size);
  fit(qkv_, config.qkv_size());
  fit(q_, config.q_size());
  fit(unrotated_, config.q_size());
  fit(attention_out_, config.q_size());
  fit(gate_up_, 2 * config.intermediate_size);
  fit(activated_, config.intermediate_size);
  fit(logits_, config.vocab_size);
  const int64_t positions = rows_ == 0 ? 0 : 1 + *std::max_element(batch.positions.begin(), batch.positions.end());
  if (rotations_.empty() || rotations_[0].cos.size(0) < positions)
    rotations_ = decoder_.rotations(at::arange(std::max<int64_t>(256, 2 * positions), at::kLong));
}

bool RowDecoder::use_row_product() const { return rows_ <= kernels::kRowProductRows || kernels::row_product_is_always_faster(); }

template <class Work>
void RowDecoder::parallel_over(int64_t size, int64_t grain, const Work& work) const {
  // More rows go through libtorch's products, whose threads the helpers would be in the way of.
  if (use_row_product()) core::parallel_for(size, grain, work);
  else at::parallel_for(0, size, grain, work);
}

const float* RowDecoder::logits(const RowBatch& batch, KvCache& cache) {
  reserve(batch);
  const Config& config = decoder_.config();
  const Weights& weights = decoder_.weights();
  const int64_t width = config.hidden_size;
  const float* embedding = floats(weights.embedding);
  const auto scaled = [scale = decoder_.embedding_scale()](float x) { return x * scale; };
  for (int64_t r = 0; r < rows_; ++r) {
    const float* row = embedding + batch.ids[r] * width;
    std::transform(row, row + width, hidden_.data() + r * width, scaled);
  }
  for (size_t layer = 0; layer < weights.layers.size(); ++layer) {
    const LayerWeights& w = weights.layers[layer];
    norm(hidden_.data(), w.attention_norm, normalized_.data());
    linear(batch, normalized_, w.qkv, w.qkv_bias, {layer, {kQuery, kKey, kValue}}, false, qkv_);
    attention(batch, layer, cache);
    add_linear(batch, attention_out_, w.output, w.output_bias, {layer, {kOutput}}, w.attention_post_norm);
    norm(hidden_.data(), w.mlp_norm, normalized_.data());
    linear(batch, normalized_, w.gate_up, w.gate_up_bias, {layer, {kGate, kUp}}, false, gate_up_);
    parallel_over(rows_, rows_grain(2 * config.intermediate_size), [&](int64_t begin, int64_t end) {
      kernels::swiglu_forward(config.architecture->activation, gate_up_.data(), config.intermediate_size, begin, end, activated_.data());
    });
    add_linear(batch, activated_, w.down, w.down_bias, {layer, {kDown}}, w.mlp_post_norm);
  }
  norm(hidden_.data(), weights.final_norm, normalized_.data());
  linear(batch, normalized_, weights.head, {}, {0, {}}, false, logits_);
  return logits_.data();
}

void RowDecoder::add_linear(const RowBatch& batch, const core::Floats& x, const at::Tensor& weight, const at::Tensor& bias,
                            const LinearSite& site, const at::Tensor& post_norm) {
  if (!post_norm.defined()) return linear(batch, x, weight, bias, site, true, hidden_);
  linear(batch, x, weight, bias, site, false, normalized_);
  norm(normalized_.data(), post_norm, normalized_.data());
  const int64_t size = rows_ * decoder_.config().hidden_size;
  std::transform(normalized_.data(), normalized_.data() + size, hidden_.data(), hidden_.data(), std::plus<float>());
}

void RowDecoder::norm(const float* x, const at::Tensor& weight, float* y) const {
  const int64_t width = decoder_.config().hidden_size;
  const auto [eps, offset] = decoder_.norm();
  const kernels::NormShape shape{1, width, width, static_cast<float>(eps), static_cast<float>(offset)};
  parallel_over(rows_, rows_grain(width),
                [&](int64_t begin, int64_t end) { kernels::rms_norm_forward(shape, x, floats(weight), begin, end, y, nullptr); });
}

void RowDecoder::collect_lora(const RowBatch& batch, const LinearSite& site) {
  lora_.clear();
  int64_t inner_size = 0;
  for (const PolicyRange& range : batch.policies) {
    const Adapter* adapter = range.policy < 0 ? nullptr : adapters_[range.policy];
    int64_t column = 0;
    for (const Projection p : site.projections) {
      if (adapter != nullptr && adapter->layers[site.layer][p].a.defined()) {
        const at::Tensor& a = adapter->layers[site.layer][p].a;
        const at::Tensor& b = transposed_[range.policy][site.layer][p];
        lora_.push_back({floats(a), floats(b), a.size(0), b.size(1), static_cast<float>(adapter->scale), range, column, nullptr});
        inner_size += (range.end - range.begin) * a.size(0);
      }
      column += output_size(decoder_.config(), p);
    }
  }
  if (static_cast<int64_t>(inner_.size()) < inner_size) inner_.resize(static_cast<size_t>(inner_size));
  float* inner = inner_.data();
  for (LoraSlice& slice : lora_) {
    slice.inner = inner;
    inner += (slice.range.end - slice.range.begin) * slice.rank;
  }
}

void RowDecoder::linear(const RowBatch& batch, const core::Floats& x, const at::Tensor& weight, const at::Tensor& bias,
                        const LinearSite& site, bool adds, core::Floats& y) {
  const int64_t in = weight.size(1), out = weight.size(0);
  collect_lora(batch, site);
  parallel_over(static_cast<int64_t>(lora_.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      const LoraSlice& slice = lora_[s];
      kernels::row_product({.x = x.data() + slice.range.begin * in,
                            .weight = slice.a,
                            .y = slice.inner,
                            .rows = slice.range.end - slice.range.begin,
                            .in = in,
                            .out = slice.rank},
                           0, slice.rank);
    }
  });

  const bool by_rows = use_row_product();
  if (!by_rows) {
    const auto of = [&](const core::Floats& buffer, int64_t width) {
      return at::from_blob(const_cast<float*>(buffer.data()), {rows_, width}, at::kFloat);
    };
    at::Tensor target = of(y, out);
    if (adds) target.addmm_(of(x, in), weight.t());
    else at::mm_out(target, of(x, in), weight.t());
    if (bias.defined()) target.add_(bias);
  }
  const kernels::RowProduct base{.x = x.data(),
                                 .weight = weight.const_data_ptr(),
                                 .bias = floats(bias),
                                 .y = y.data(),
                                 .rows = rows_,
                                 .in = in,
                                 .out = out,
                                 .adds = adds};
  if (!by_rows && lora_.empty()) return;
  parallel_over(out, row_product_grain(rows_, in), [&](int64_t begin, int64_t end) {
    if (by_rows) kernels::row_product(base, begin, end);
    for (const LoraSlice& slice : lora_) {
      const int64_t first = std::max(begin, slice.column), last = std::min(end, slice.column + slice.width);
      if (first >= last) continue;
      kernels::low_rank_add({.inner = slice.inner,
                             .b = slice.b,
                             .y = y.data() + slice.range.begin * out + slice.column,
                             .rows = slice.range.end - slice.range.begin,
                             .rank = slice.rank,
                             .out = slice.width,
                             .y_stride = out,
                             .scale = slice.scale},
                            first - slice.column, last - slice.column);
    }
  });
}

void RowDecoder::attention(const RowBatch& batch, size_t layer, KvCache& cache) {
  const Config& config = decoder_.config();
  const LayerWeights& w = decoder_.weights().layers[layer];
  const int64_t dim = config.head_dim, q_size = config.q_size(), kv_size = config.kv_size(), qkv_size = config.qkv_size();
  const float eps = static_cast<float>(decoder_.norm().eps), offset = static_cast<float>(decoder_.norm().offset);
  const Rotation& rotation = rotations_[config.rope_of(layer)];
  float* keys = mutable_floats(cache.keys[layer]);
  float* values = mutable_floats(cache.values[layer]);
  const float* cos = floats(rotation.cos);
  const float* sin = floats(rotation.sin);
  // 1. Norm and rotate: queries to q_ (rows, H x D), keys and values to their slots of the cache (slots, K x D).
  const auto rotate = [&](int64_t row, const float* x, int64_t heads, const at::Tensor& weight, float* y) {
    if (weight.defined()) {
      float* normalized = unrotated_.data() + row * q_size;
      kernels::rms_norm_forward({heads, dim, heads * dim, eps, offset}, x, floats(weight), 0, 1, normalized, nullptr);
      x = normalized;
    }
    const int64_t at = batch.positions[row] * (dim / 2);
    kernels::rotary({heads, dim, heads * dim, 1.0f}, x, cos + at, sin + at, 0, 1, y);
  };
  parallel_over(rows_, rows_grain(qkv_size), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* qkv = qkv_.data() + r * qkv_size;
      rotate(r, qkv, config.num_heads, w.q_norm, q_.data() + r * q_size);
      rotate(r, qkv + q_size, config.num_kv_heads, w.k_norm, keys + batch.slots[r] * kv_size);
      std::copy_n(qkv + q_size + kv_size, kv_size, values + batch.slots[r] * kv_size);
    }
  });
  const kernels::AttentionShape shape{
      config.num_heads, config.num_kv_heads, dim, config.sliding_windows[layer], config.attention_scale(), q_size, kv_size, kv_size};
  const kernels::AttentionPointers data{q_.data(), keys, values, attention_out_.data(), nullptr};
  // 2. Deal the rows out. Neighbours whose first range is the same are taken together.
  std::vector<int64_t>& ends = part_ends_;
  ends.clear();
  for (int64_t r = 0; r < rows_; ++r) {
    const auto first_key = [&](int64_t row) { return batch.ranges[batch.spans[row].range_begin].begin; };
    const int64_t begin = ends.size() < 2 ? 0 : ends[ends.size() - 2];
    if (r > 0 && first_key(r) == first_key(r - 1) && r - begin < kernels::kMaxSharedRows) ends.back() = r + 1;
    else ends.push_back(r + 1);
  }
  const int64_t context = kernels::longest_context(batch.spans.data(), rows_), parts = static_cast<int64_t>(ends.size());
  const int64_t heads = config.num_kv_heads, tasks = parts * heads;
  const int64_t scratch_of_head = kernels::rows_scratch(shape, kernels::kMaxSharedRows, 1, context);
  // As many heads at once as leave their scores in the second cache level.
  const int64_t at_once = std::clamp<int64_t>((1 << 17) / scratch_of_head, 1, heads);
  // A share of the tasks for each thread that is worth it, with memory of its own.
  const int64_t worth = context * dim * rows_ * heads / 16384;
  const int64_t shares = std::clamp<int64_t>(worth, 1, std::min<int64_t>(tasks, core::loop_thread_count()));
  const int64_t scratch_of_share = at_once * scratch_of_head;
  if (static_cast<int64_t>(scratch_.size()) < shares * scratch_of_share)
    scratch_.resize(
        static_cast<size_t>(shares * at_once * kernels::rows_scratch(shape, kernels::kMaxSharedRows, 1, context + kMoreContext)));
  // 3. Attention, of each part and key-value head: attention_out_ (rows, H x D).
  parallel_over(shares, 1, [&](int64_t begin, int64_t end) {
    float* scratch = scratch_.data() + begin * scratch_of_share;
    const int64_t last = end * tasks / shares;
    for (int64_t task = begin * tasks / shares, next; task < last; task = next) {
      const int64_t part = task / heads;
      next = std::min({task + at_once, (part + 1) * heads, last});
      kernels::tree_attention_rows(shape, data, batch.spans.data(), batch.ranges.data(), part == 0 ? 0 : ends[part - 1], ends[part],
                                   task - part * heads, next - part * heads, scratch);
    }
  });
}

}  // namespace magrpo::model
