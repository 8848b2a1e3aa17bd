#include "bench/kernel_cases.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/multinomial.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/square.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <memory>
#include <vector>

#include "core/parallel.h"
#include "kernels/logit_rows.h"
#include "kernels/low_rank.h"
#include "kernels/tree_attention.h"
#include "kernels/tree_attention_reference.h"
#include "model/attention.h"
#include "model/linear.h"
#include "model/packed_batch.h"
#include "model/rms_norm.h"
#include "model/rotary.h"
#include "model/rows.h"
#include "model/swiglu.h"
#include "rollout/sampler.h"
#include "train/log_prob_head.h"

namespace magrpo::bench {
namespace {

constexpr int64_t kWidth = 512, kHeads = 8, kKvHeads = 4, kDim = 64, kMlp = 1536, kVocab = 8192;
constexpr int64_t kPrompt = 128, kGroup = 8, kCompletion = 64, kTokens = kPrompt + kGroup * kCompletion;
constexpr double kEps = 1e-6;
constexpr int64_t kFloat = 4;

using Compute = std::function<at::Tensor()>;

std::function<void()> without_gradient(Compute compute) {
  return [compute] {
    at::NoGradGuard no_grad;
    compute();
  };
}

// Forward and backward, from a gradient of ones; the leaves' gradients are dropped, so that none is added to another.
std::function<void()> with_gradient(Compute compute, std::vector<at::Tensor> inputs) {
  return [compute, inputs] {
    const at::Tensor y = compute();
    y.backward(at::ones_like(y));
    for (const at::Tensor& x : inputs) x.mutable_grad().reset();
  };
}

at::Tensor variable(at::IntArrayRef sizes) { return at::randn(sizes).requires_grad_(true); }

void add_products(std::vector<KernelCase>& cases) {
  const at::Tensor weight = at::randn({2 * kMlp, kWidth});
  for (const int64_t rows : {1, 8, 16, 64, 256}) {
    const at::Tensor x = at::randn({rows, kWidth});
    cases.push_back({"row_product", std::to_string(rows) + " x 512 x 3072",
                     kFloat * (weight.numel() + rows * (kWidth + 2 * kMlp)), 2 * rows * weight.numel(),
                     without_gradient([=] { return model::project(x, weight); }),
                     without_gradient([=] { return at::linear(x, weight); })});
  }
}

// What an adapter of rank 16 adds to the gate and the up projection.
void add_low_rank(std::vector<KernelCase>& cases) {
  constexpr int64_t rank = 16;
  const at::Tensor b = at::randn({rank, 2 * kMlp});
  for (const int64_t rows : {kGroup, 4 * kGroup}) {
    const at::Tensor inner = at::randn({rows, rank}), y = at::randn({rows, 2 * kMlp});
    const auto ours = [=] {
      const kernels::LowRankProduct product{.inner = inner.const_data_ptr<float>(),
                                            .b = b.const_data_ptr<float>(),
                                            .y = y.mutable_data_ptr<float>(),
                                            .rows = rows,
                                            .rank = rank,
                                            .out = 2 * kMlp,
                                            .b_rank_stride = 2 * kMlp,
                                            .y_stride = 2 * kMlp,
                                            .scale = 0.5f};
      core::parallel_for(product.out, 512, [&](int64_t begin, int64_t end) { kernels::low_rank_add(product, begin, end); });
      return y;
    };
    cases.push_back({"low_rank", std::to_string(rows) + " x 16 x 3072", kFloat * (b.numel() + inner.numel() + 2 * y.numel()),
                     2 * rows * b.numel(), without_gradient(ours), without_gradient([=] { return y.add(at::mm(inner, b), 0.5); })});
  }
}

at::Tensor plain_norm(const at::Tensor& x, const at::Tensor& weight) {
  return x * at::rsqrt(x.square().mean(-1, true) + kEps) * weight;
}

void add_norms(std::vector<KernelCase>& cases) {
  const at::Tensor weight = variable({kWidth});
  for (const int64_t rows : {kGroup, kTokens}) {
    const at::Tensor x = variable({rows, kWidth});
    const std::string shape = std::to_string(rows) + " x 512";
    const Compute ours = [=] { return model::rms_norm(x, weight, kEps); }, aten = [=] { return plain_norm(x, weight); };
    cases.push_back({"rms_norm", shape, kFloat * 2 * x.numel(), 4 * x.numel(), without_gradient(ours), without_gradient(aten)});
    if (rows == kTokens)
      cases.push_back({"rms_norm and gradient", shape, kFloat * 5 * x.numel(), 14 * x.numel(), with_gradient(ours, {x, weight}),
                       with_gradient(aten, {x, weight})});
  }
}

at::Tensor plain_rotation(const at::Tensor& x, const model::Rotation& rotation) {
  const at::Tensor first = x.narrow(-1, 0, kDim / 2), second = x.narrow(-1, kDim / 2, kDim / 2);
  return at::cat({first * rotation.cos - second * rotation.sin, second * rotation.cos + first * rotation.sin}, -1);
}

void add_rotations(std::vector<KernelCase>& cases) {
  const at::Tensor frequencies = model::inverse_frequencies(model::Rope{}, kDim);
  for (const int64_t rows : {kGroup, kTokens}) {
    const auto rotation = model::rotation(frequencies, at::arange(rows, at::kLong));
    const at::Tensor x = variable({rows, kHeads, kDim});
    const std::string shape = std::to_string(rows) + " x 8 x 64";
    const Compute ours = [=] { return model::rotate(x, rotation); }, aten = [=] { return plain_rotation(x, rotation); };
    cases.push_back({"rotary", shape, kFloat * (2 * x.numel() + rows * kDim), 3 * x.numel(), without_gradient(ours),
                     without_gradient(aten)});
    if (rows == kTokens)
      cases.push_back({"rotary and gradient", shape, kFloat * (4 * x.numel() + 2 * rows * kDim), 6 * x.numel(),
                       with_gradient(ours, {x}), with_gradient(aten, {x})});
  }
}

void add_gates(std::vector<KernelCase>& cases) {
  for (const int64_t rows : {kGroup, kTokens}) {
    const at::Tensor x = variable({rows, 2 * kMlp});
    const std::string shape = std::to_string(rows) + " x 2 x 1536";
    const Compute ours = [=] { return model::swiglu(x); },
                  aten = [=] { return at::silu(x.narrow(1, 0, kMlp)) * x.narrow(1, kMlp, kMlp); };
    // An exponential counts as ten operations.
    cases.push_back({"swiglu", shape, kFloat * (x.numel() + rows * kMlp), 13 * rows * kMlp, without_gradient(ours),
                     without_gradient(aten)});
    if (rows == kTokens)
      cases.push_back({"swiglu and gradient", shape, kFloat * (3 * x.numel() + 2 * rows * kMlp), 33 * rows * kMlp,
                       with_gradient(ours, {x}), with_gradient(aten, {x})});
  }
}

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
  const Compute aten = [=] {
    return kernels::tree_attention_reference(attention_shape(), q, k, v, batch->spans, batch->ranges);
  };
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
  const at::Tensor q = at::randn({kGroup, kHeads * kDim}), k = at::randn({slots, kKvHeads * kDim}),
                   v = at::randn({slots, kKvHeads * kDim}), out = at::empty_like(q);
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
                   without_gradient([=] {
                     return kernels::tree_attention_reference(shape, q, k, v, batch->spans, batch->ranges);
                   })});
}

// Normalisation and entropy of each row; then the gradient of both, in the logits' place.
void add_logit_rows(std::vector<KernelCase>& cases) {
  constexpr int64_t rows = kGroup * kCompletion;
  const at::Tensor logits = at::randn({rows, kVocab});
  const std::string shape = "512 rows of 8192";
  const auto read = [=] {
    model::for_rows(rows, kVocab, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) kernels::logit_moments(logits.const_data_ptr<float>() + r * kVocab, kVocab);
    });
    return logits;
  };
  const auto plain = [=] {
    const at::Tensor log_probs = at::log_softmax(logits, -1);
    return (log_probs.exp() * log_probs).sum(-1);
  };
  cases.push_back({"logit_rows", shape, kFloat * logits.numel(), 13 * logits.numel(), without_gradient(read), without_gradient(plain)});
  const auto gradient = [=] {
    model::for_rows(rows, kVocab, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        kernels::logit_gradient(logits.mutable_data_ptr<float>() + r * kVocab, kVocab, {9.5f, 8.5f, -1e-3f, 1e-4f, r});
    });
    return logits;
  };
  const auto plain_gradient = [=] {
    const at::Tensor log_probs = logits - 9.5, p = log_probs.exp();
    return p * 1e-3 - p * (log_probs + 8.5) * 1e-4;
  };
  cases.push_back({"logit_rows gradient", shape, kFloat * 2 * logits.numel(), 15 * logits.numel(), without_gradient(gradient),
                   without_gradient(plain_gradient)});
}

void add_head(std::vector<KernelCase>& cases) {
  constexpr int64_t rows = kGroup * kCompletion;
  const at::Tensor hidden = variable({rows, kWidth}), head = variable({kVocab, kWidth});
  const at::Tensor targets = at::randint(kVocab, {rows}, at::kLong);
  const Compute ours = [=] {
    const auto scores = train::score_tokens(hidden, head, targets);
    return scores.log_probs;
  };
  const Compute aten = [=] {
    const at::Tensor log_probs = at::log_softmax(at::linear(hidden, head), -1);
    return log_probs.gather(1, targets.unsqueeze(1)).squeeze(1);
  };
  const int64_t operations = 2 * rows * kWidth * kVocab, bytes = kFloat * (hidden.numel() + head.numel());
  const std::string shape = "512 x 512 x 8192";
  cases.push_back({"log_prob_head", shape, bytes, operations, without_gradient(ours), without_gradient(aten)});
  cases.push_back({"log_prob_head and gradient", shape, 3 * bytes, 3 * operations, with_gradient(ours, {hidden, head}),
                   with_gradient(aten, {hidden, head})});
}

void add_sampler(std::vector<KernelCase>& cases) {
  for (const int64_t vocab : {kVocab, int64_t{151936}}) {
    const at::Tensor logits = at::randn({kGroup, vocab});
    const auto scratch = std::make_shared<rollout::SamplerScratch>();
    cases.push_back({"sampler", "8 rows of " + std::to_string(vocab) + ", one thread", kFloat * logits.numel(), 12 * logits.numel(),
                     [=] {
                       for (int64_t row = 0; row < kGroup; ++row)
                         rollout::choose_token(logits.const_data_ptr<float>() + row * vocab, vocab, rollout::Sampling{}, {}, 0.37,
                                               *scratch);
                     },
                     without_gradient([=] { return at::multinomial(at::softmax(logits, -1), 1); })});
  }
}

}  // namespace

std::vector<KernelCase> kernel_cases() {
  std::vector<KernelCase> cases;
  add_products(cases);
  add_low_rank(cases);
  add_norms(cases);
  add_rotations(cases);
  add_gates(cases);
  add_decoding_attention(cases);
  add_training_attention(cases);
  add_logit_rows(cases);
  add_head(cases);
  add_sampler(cases);
  return cases;
}

}  // namespace magrpo::bench
