#include <ATen/ops/empty_like.h>
#include <ATen/ops/randn.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "bench/kernel_cases.h"
#include "core/parallel.h"
#include "kernels/tree_attention/reference.h"
#include "kernels/tree_attention/tree_attention.h"
#include "model/attention.h"
#include "model/packed_batch.h"

namespace magrpo::bench {
namespace {

model::Config attention_config() {
  model::Config config;
  config.num_heads = kHeads;
  config.num_kv_heads = kKvHeads;
  config.head_dim = kDim;
  config.sliding_windows = {0};
  return config;
}

kernels::AttentionShape attention_shape() {
  return {kHeads, kKvHeads, kDim, 0, 1.0f / std::sqrt(static_cast<float>(kDim)), kHeads * kDim, kKvHeads * kDim, kKvHeads * kDim};
}

// Keys that all queries see together.
int64_t pairs_of(const model::PackedBatch& batch) {
  int64_t pairs = 0;
  for (const auto& span : batch.spans)
    for (int64_t i = 0; i < span.length; ++i) pairs += span.position + i + 1;
  return pairs;
}

// A prompt of 128 tokens with 8 completions of 64 in one pass.
void add_training_attention(std::vector<KernelCase>& cases) {
  auto batch = std::make_shared<model::PackedBatch>();
  batch->spans = {{0, kPrompt, 0, 0, 1}};
  batch->ranges = {{0, kPrompt, 0}};
  for (int64_t g = 0; g < kGroup; ++g) {
    const int64_t begin = kPrompt + g * kCompletion, range = static_cast<int64_t>(batch->ranges.size());
    batch->ranges.push_back({0, kPrompt, 0});
    batch->ranges.push_back({begin, kCompletion, kPrompt});
    batch->spans.push_back({begin, kCompletion, kPrompt, range, range + 2});
  }
  batch->groups = {{0, kGroup + 1}};
  const auto config = attention_config();
  const at::Tensor q = variable({kTokens, kHeads * kDim}), k = variable({kTokens, kKvHeads * kDim}),
                   v = variable({kTokens, kKvHeads * kDim});
  const Compute ours = [=] { return model::tree_attention(config, 0, q, k, v, *batch); };
  const Compute aten = [=] { return kernels::tree_attention_reference(attention_shape(), q, k, v, batch->spans, batch->ranges); };
  const int64_t operations = 4 * kHeads * kDim * pairs_of(*batch), bytes = kFloat * (2 * q.numel() + 2 * k.numel());
  const std::string shape = "128 + 8 x 64 tokens";
  cases.push_back({"tree_attention", shape, bytes, operations, without_gradient(ours), without_gradient(aten)});
  cases.push_back({"tree_attention and gradient", shape, 3 * bytes, 7 * operations / 2, with_gradient(ours, {q, k, v}),
                   with_gradient(aten, {q, k, v})});
}

// 8 rows that have written 32 tokens each behind a shared prompt of 128, as decoding takes them.
void add_decoding_attention(std::vector<KernelCase>& cases) {
  constexpr int64_t written = 32, context = kPrompt + written, slots = kPrompt + kGroup * kCompletion;
  auto batch = std::make_shared<model::PackedBatch>();
  for (int64_t row = 0; row < kGroup; ++row) {
    batch->ranges.push_back({0, kPrompt, 0});
    batch->ranges.push_back({kPrompt + row * kCompletion, written, kPrompt});
    batch->spans.push_back({row, 1, context - 1, 2 * row, 2 * row + 2});
  }
  const auto shape = attention_shape();
  const at::Tensor q = at::randn({kGroup, kHeads * kDim}), k = at::randn({slots, kKvHeads * kDim}), v = at::randn({slots, kKvHeads * kDim}),
                   out = at::empty_like(q);
  const auto ours = [=] {
    const kernels::AttentionPointers data{q.const_data_ptr<float>(), k.const_data_ptr<float>(), v.const_data_ptr<float>(),
                                          out.mutable_data_ptr<float>(), nullptr};
    core::parallel_for(kKvHeads, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> scratch(static_cast<size_t>(kernels::rows_scratch(shape, kGroup, end - begin, context)));
      kernels::tree_attention_rows(shape, data, batch->spans.data(), batch->ranges.data(), 0, kGroup, begin, end, scratch.data());
    });
    return out;
  };
  // The prompt's keys and values are read once for all rows.
  const int64_t bytes = kFloat * (2 * (kPrompt + kGroup * written) * kKvHeads * kDim + 2 * q.numel());
  cases.push_back({"tree_attention_rows", "8 rows, 160 keys", bytes, 4 * kHeads * kDim * pairs_of(*batch), without_gradient(ours),
                   without_gradient([=] { return kernels::tree_attention_reference(shape, q, k, v, batch->spans, batch->ranges); })});
}

const Registration decoding_attention(add_decoding_attention);
const Registration training_attention(add_training_attention);

}  // namespace
}  // namespace magrpo::bench
