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

const float* pointer(const at::Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr; }

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

bool RowDecoder::takes(const Decoder& decoder) { return takes_kernels(decoder.weights().embedding); }

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
  fit(normed_, config.hidden_size);
  fit(qkv_, config.qkv_size());
  fit(q_, config.q_size());
  fit(turned_, config.q_size());
  fit(mixed_, config.q_size());
  fit(gate_up_, 2 * config.intermediate_size);
  fit(activated_, config.intermediate_size);
  fit(logits_, config.vocab_size);
  const int64_t positions = rows_ == 0 ? 0 : 1 + *std::max_element(batch.positions.begin(), batch.positions.end());
  if (rotations_.empty() || rotations_[0].cos.size(0) < positions)
    rotations_ = decoder_.rotations(at::arange(std::max<int64_t>(256, 2 * positions), at::kLong));
}

bool RowDecoder::takes_row_product() const { return rows_ <= kernels::kRowProductRows || kernels::row_product_is_always_faster(); }

template <class Work>
void RowDecoder::in_parts(int64_t size, int64_t grain, const Work& work) const {
  // More rows go through libtorch's products, whose threads the helpers would be in the way of.
  if (takes_row_product()) core::parallel_for(size, grain, work);
  else at::parallel_for(0, size, grain, work);
}

const float* RowDecoder::logits(const RowBatch& batch, KvCache& cache) {
  reserve(batch);
  const Config& config = decoder_.config();
  const Weights& weights = decoder_.weights();
  const int64_t width = config.hidden_size;
  const float* embedding = pointer(weights.embedding);
  const auto scaled = [scale = decoder_.embedding_scale()](float x) { return x * scale; };
  for (int64_t r = 0; r < rows_; ++r) {
    const float* row = embedding + batch.ids[r] * width;
    std::transform(row, row + width, hidden_.data() + r * width, scaled);
  }
  for (size_t layer = 0; layer < weights.layers.size(); ++layer) {
    const LayerWeights& w = weights.layers[layer];
    norm(hidden_.data(), w.attention_norm, normed_.data());
    product(batch, normed_, w.qkv, w.qkv_bias, {layer, {kQuery, kKey, kValue}}, false, qkv_);
    attention(batch, layer, cache);
    add_product(batch, mixed_, w.output, w.output_bias, {layer, {kOutput}}, w.attention_post_norm);
    norm(hidden_.data(), w.mlp_norm, normed_.data());
    product(batch, normed_, w.gate_up, w.gate_up_bias, {layer, {kGate, kUp}}, false, gate_up_);
    in_parts(rows_, rows_grain(2 * config.intermediate_size), [&](int64_t begin, int64_t end) {
      kernels::swiglu_forward(config.architecture->activation, gate_up_.data(), config.intermediate_size, begin, end, activated_.data());
    });
    add_product(batch, activated_, w.down, w.down_bias, {layer, {kDown}}, w.mlp_post_norm);
  }
  norm(hidden_.data(), weights.final_norm, normed_.data());
  product(batch, normed_, weights.head, {}, {0, {}}, false, logits_);
  return logits_.data();
}

void RowDecoder::add_product(const RowBatch& batch, const core::Floats& x, const at::Tensor& weight, const at::Tensor& bias,
                             const Adapted& adapted, const at::Tensor& post_norm) {
  if (!post_norm.defined()) return product(batch, x, weight, bias, adapted, true, hidden_);
  product(batch, x, weight, bias, adapted, false, normed_);
  norm(normed_.data(), post_norm, normed_.data());
  const int64_t size = rows_ * decoder_.config().hidden_size;
  std::transform(normed_.data(), normed_.data() + size, hidden_.data(), hidden_.data(), std::plus<float>());
}

void RowDecoder::norm(const float* x, const at::Tensor& weight, float* y) const {
  const int64_t width = decoder_.config().hidden_size;
  const auto [eps, offset] = decoder_.norm();
  const kernels::NormShape shape{1, width, width, static_cast<float>(eps), static_cast<float>(offset)};
  in_parts(rows_, rows_grain(width),
           [&](int64_t begin, int64_t end) { kernels::rms_norm_forward(shape, x, pointer(weight), begin, end, y, nullptr); });
}

void RowDecoder::share(const RowBatch& batch, const Adapted& adapted) {
  shares_.clear();
  int64_t inner_size = 0;
  for (const PolicyRange& range : batch.policies) {
    const Adapter* adapter = range.policy < 0 ? nullptr : adapters_[range.policy];
    int64_t column = 0;
    for (const Projection p : adapted.projections) {
      if (adapter != nullptr && adapter->layers[adapted.layer][p].a.defined()) {
        const at::Tensor& a = adapter->layers[adapted.layer][p].a;
        const at::Tensor& b = transposed_[range.policy][adapted.layer][p];
        shares_.push_back({a.const_data_ptr<float>(), b.const_data_ptr<float>(), a.size(0), b.size(1), static_cast<float>(adapter->scale),
                           range, column, nullptr});
        inner_size += (range.end - range.begin) * a.size(0);
      }
      column += output_size(decoder_.config(), p);
    }
  }
  if (static_cast<int64_t>(inner_.size()) < inner_size) inner_.resize(static_cast<size_t>(inner_size));
  float* inner = inner_.data();
  for (AdapterShare& share : shares_) {
    share.inner = inner;
    inner += (share.range.end - share.range.begin) * share.rank;
  }
}

void RowDecoder::product(const RowBatch& batch, const core::Floats& x, const at::Tensor& weight, const at::Tensor& bias,
                         const Adapted& adapted, bool adds, core::Floats& y) {
  const int64_t in = weight.size(1), out = weight.size(0);
  share(batch, adapted);
  in_parts(static_cast<int64_t>(shares_.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      const AdapterShare& share = shares_[s];
      kernels::row_product({.x = x.data() + share.range.begin * in,
                            .weight = share.a,
                            .bias = nullptr,
                            .y = share.inner,
                            .rows = share.range.end - share.range.begin,
                            .in = in,
                            .out = share.rank,
                            .x_stride = in,
                            .y_stride = share.rank},
                           0, share.rank);
    }
  });

  const bool takes_rows = takes_row_product();
  if (!takes_rows) {
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
                                 .bias = pointer(bias),
                                 .y = y.data(),
                                 .rows = rows_,
                                 .in = in,
                                 .out = out,
                                 .x_stride = in,
                                 .y_stride = out,
                                 .adds = adds};
  if (!takes_rows && shares_.empty()) return;
  // A second thread pays for itself from some tens of microseconds of work on.
  const int64_t grain = std::max<int64_t>(1, (1 << 19) / (in * std::max<int64_t>(rows_, 4)));
  in_parts(out, grain, [&](int64_t begin, int64_t end) {
    if (takes_rows) kernels::row_product(base, begin, end);
    for (const AdapterShare& share : shares_) {
      const int64_t first = std::max(begin, share.column), last = std::min(end, share.column + share.width);
      if (first >= last) continue;
      kernels::low_rank_add({.inner = share.inner,
                             .b = share.b,
                             .y = y.data() + share.range.begin * out + share.column,
                             .rows = share.range.end - share.range.begin,
                             .rank = share.rank,
                             .out = share.width,
                             .b_rank_stride = share.width,
                             .y_stride = out,
                             .scale = share.scale},
                            first - share.column, last - share.column);
    }
  });
}

void RowDecoder::attention(const RowBatch& batch, size_t layer, KvCache& cache) {
  const Config& config = decoder_.config();
  const LayerWeights& w = decoder_.weights().layers[layer];
  const int64_t dim = config.head_dim, q_size = config.q_size(), kv_size = config.kv_size(), qkv_size = config.qkv_size();
  const float eps = static_cast<float>(decoder_.norm().eps), offset = static_cast<float>(decoder_.norm().offset);
  const Rotation& rotation = rotations_[config.rope_of(layer)];
  float* keys = cache.keys[layer].mutable_data_ptr<float>();
  float* values = cache.values[layer].mutable_data_ptr<float>();
  const float* cos = pointer(rotation.cos);
  const float* sin = pointer(rotation.sin);
  // The turned queries go to q_, keys and values straight to the cache.
  const auto turn = [&](int64_t row, const float* x, int64_t heads, const at::Tensor& weight, float* y) {
    if (weight.defined()) {
      float* normed = turned_.data() + row * q_size;
      kernels::rms_norm_forward({heads, dim, heads * dim, eps, offset}, x, pointer(weight), 0, 1, normed, nullptr);
      x = normed;
    }
    const int64_t at = batch.positions[row] * (dim / 2);
    kernels::rotary({heads, dim, heads * dim, 1.0f}, x, cos + at, sin + at, 0, 1, y);
  };
  in_parts(rows_, rows_grain(qkv_size), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* qkv = qkv_.data() + r * qkv_size;
      turn(r, qkv, config.num_heads, w.q_norm, q_.data() + r * q_size);
      turn(r, qkv + q_size, config.num_kv_heads, w.k_norm, keys + batch.slots[r] * kv_size);
      std::copy_n(qkv + q_size + kv_size, kv_size, values + batch.slots[r] * kv_size);
    }
  });
  const kernels::AttentionShape shape{
      config.num_heads, config.num_kv_heads, dim, config.sliding_windows[layer], config.attention_scale(), q_size, kv_size, kv_size};
  const kernels::AttentionPointers data{q_.data(), keys, values, mixed_.data(), nullptr};
  // Neighbours whose first range is the same are taken together.
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
    scratch_.resize(static_cast<size_t>(shares * at_once * kernels::rows_scratch(shape, kernels::kMaxSharedRows, 1, context + kMoreContext)));
  in_parts(shares, 1, [&](int64_t begin, int64_t end) {
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
