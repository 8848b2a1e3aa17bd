// The log-probability head, what a step makes larger, and the value head against the same in double.
#include <ATen/TensorOperators.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "test/harness.h"
#include "test/tiny_decoder.h"
#include "train/log_prob_head.h"
#include "train/policy_loss.h"
#include "train/value_head.h"

namespace magrpo::train {
namespace {

using test::largest_difference;
using test::random;

at::Tensor targets_below(int64_t count, int64_t vocab_size) {
  const at::Tensor targets = at::zeros({count}, at::kLong);
  for (int64_t i = 0; i < count; ++i) targets[i] = (7 * i + 3) % vocab_size;
  return targets;
}

TEST("log-prob head: values and gradients, of entropies too, are those of log_softmax in double, wherever tiles end") {
  constexpr int64_t count = 11, vocab_size = 19, width = 6;
  const at::Tensor targets = targets_below(count, vocab_size), weights = random({count}, 3);
  const at::Tensor exact_hidden = random({count, width}, 1).to(at::kDouble).set_requires_grad(true);
  const at::Tensor exact_head = random({vocab_size, width}, 2).to(at::kDouble).set_requires_grad(true);
  const at::Tensor all = at::log_softmax(at::linear(exact_hidden, exact_head), 1);
  const at::Tensor log_probs = all.gather(1, targets.unsqueeze(1)).squeeze(1), entropies = (all.exp() * all).sum(1).neg();
  (log_probs * weights + entropies * weights.flip(0)).sum().backward();
  // Rows of a chunk: 1 (even if a row is larger), 1, 4 with 3 left over, all.
  // Tokens of a tile: all, 7 and 5 left over, 1.
  for (const auto& [chunk, columns] : {std::pair{int64_t{1}, kTileColumns},
                                       {vocab_size, kTileColumns},
                                       {4 * vocab_size + 5, kTileColumns},
                                       {kChunkLogits, kTileColumns},
                                       {kChunkLogits, 7},
                                       {4 * 7, 7},
                                       {1, 7},
                                       {kChunkLogits, 1}}) {
    const at::Tensor hidden = random({count, width}, 1).set_requires_grad(true);
    const at::Tensor head = random({vocab_size, width}, 2).set_requires_grad(true);
    const TokenScores scores = score_tokens(hidden, head, targets, chunk, columns);
    (scores.log_probs * weights + scores.entropies * weights.flip(0)).sum().backward();
    EXPECT(largest_difference(scores.log_probs, log_probs) < 3e-6, "chunk ", chunk, ", columns ", columns);
    EXPECT(largest_difference(scores.entropies, entropies) < 3e-6, "chunk ", chunk, ", columns ", columns);
    EXPECT(largest_difference(hidden.grad(), exact_hidden.grad()) < 1e-5, "chunk ", chunk, ", columns ", columns);
    EXPECT(largest_difference(head.grad(), exact_head.grad()) < 1e-5, "chunk ", chunk, ", columns ", columns);
  }
}

TEST("log-prob head: of what a sampler drew from, values and gradients are those of a masked softmax in double, wherever tiles end") {
  constexpr int64_t count = 5, vocab_size = 19, width = 6;
  const std::vector<std::vector<int32_t>> kept{{2, 3, 11}, {0, 5, 17, 18}, {}, {7}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
  const auto text = std::make_shared<const std::vector<int32_t>>(std::vector<int32_t>{3, 17, 3, 9, 1});
  const std::vector<int64_t> chosen{11, 0, 9, 7, 8};
  std::vector<uint8_t> bytes;
  for (const auto& ids : kept) {
    if (ids.empty()) bytes.push_back(0);
    else core::append_token_set(bytes, ids, vocab_size);
  }
  const at::Tensor targets = at::empty({count}, at::kLong), cut = at::zeros({count, vocab_size}, at::kDouble),
                   seen = at::zeros({count, vocab_size}, at::kDouble);
  for (int64_t i = 0; i < count; ++i) {
    targets[i] = chosen[i];
    if (!kept[i].empty()) cut[i] = -std::numeric_limits<double>::infinity();
    for (const int32_t id : kept[i]) cut[i][id] = 0.0;
    for (int64_t t = 0; t < i + 1; ++t) seen[i][(*text)[t]] = 1.0;
  }
  const at::Tensor weights = random({count}, 3);
  for (const auto& [temperature, penalty] : {std::pair{0.7, 1.0}, {1.0, 1.3}, {1.5, 0.8}}) {
    const at::Tensor exact_hidden = random({count, width}, 1).to(at::kDouble).set_requires_grad(true);
    const at::Tensor exact_head = random({vocab_size, width}, 2).to(at::kDouble).set_requires_grad(true);
    const at::Tensor logits = at::linear(exact_hidden, exact_head);
    const at::Tensor penalised = at::where(seen > 0, at::where(logits < 0, logits * penalty, logits / penalty), logits);
    const at::Tensor all = at::log_softmax(penalised / temperature + cut, 1);
    const at::Tensor log_probs = all.gather(1, targets.unsqueeze(1)).squeeze(1);
    const at::Tensor entropies =
        at::where(cut < 0, at::zeros({}, at::kDouble), all.exp() * at::where(cut < 0, at::zeros({}, at::kDouble), all)).sum(1).neg();
    (log_probs * weights + entropies * weights.flip(0)).sum().backward();
    for (const auto& [chunk, columns] :
         {std::pair{kChunkLogits, kTileColumns}, {int64_t{1}, kTileColumns}, {kChunkLogits, int64_t{7}}, {int64_t{14}, int64_t{7}}}) {
      std::vector<DrawnToken> drawn(count);
      size_t at = 0;
      for (int64_t i = 0; i < count; ++i) drawn[i] = {core::TokenSet(bytes, at, vocab_size), text, i + 1};
      const kernels::LogitShape shape{static_cast<float>(1.0 / temperature), static_cast<float>(penalty)};
      const at::Tensor hidden = random({count, width}, 1).set_requires_grad(true);
      const at::Tensor head = random({vocab_size, width}, 2).set_requires_grad(true);
      const TokenScores scores =
          score_tokens(hidden, head, targets, chunk, columns, c10::make_intrusive<DrawnFrom>(shape, std::move(drawn)));
      (scores.log_probs * weights + scores.entropies * weights.flip(0)).sum().backward();
      EXPECT(largest_difference(scores.log_probs, log_probs) < 3e-6, temperature, ", chunk ", chunk, ", columns ", columns);
      EXPECT(largest_difference(scores.entropies, entropies) < 3e-6, temperature, ", chunk ", chunk, ", columns ", columns);
      EXPECT(largest_difference(hidden.grad(), exact_hidden.grad()) < 1e-5, temperature, ", chunk ", chunk, ", columns ", columns);
      EXPECT(largest_difference(head.grad(), exact_head.grad()) < 1e-5, temperature, ", chunk ", chunk, ", columns ", columns);
    }
  }
}

TEST("log-prob head: entropies alone can be trained on") {
  const auto hidden = random({4, 6}, 1).set_requires_grad(true), exact = random({4, 6}, 1).to(at::kDouble).set_requires_grad(true);
  score_tokens(hidden, random({9, 6}, 2), targets_below(4, 9)).entropies.sum().backward();
  const at::Tensor all = at::log_softmax(at::linear(exact, random({9, 6}, 2).to(at::kDouble)), 1);
  (all.exp() * all).sum().neg().backward();
  EXPECT(largest_difference(hidden.grad(), exact.grad()) < 1e-5);
}

TEST("log-prob head: a frozen head gets no gradient; a weight of 0 gives none") {
  const at::Tensor hidden = random({4, 6}, 1).set_requires_grad(true), head = random({9, 6}, 2);
  const at::Tensor weights = random({4}, 3);
  weights[2] = 0.0;
  (score_tokens(hidden, head, targets_below(4, 9)).log_probs * weights).sum().backward();
  EXPECT(!head.grad().defined());
  EXPECT(hidden.grad()[2].count_nonzero().item<int64_t>() == 0 && hidden.grad()[1].count_nonzero().item<int64_t>() > 0);
}

TEST("log-prob head: logits of ±1e30 and -infinity give finite scores") {
  // With an identity as head, hidden states are logits.
  const at::Tensor head = at::zeros({3, 3}, at::kFloat), hidden = at::zeros({3, 3}, at::kFloat);
  for (int64_t i = 0; i < 3; ++i) head[i][i] = 1.0;
  hidden[1][0] = 1e30;
  hidden[2][0] = -1e30;
  const TokenScores scores = score_tokens(hidden, head, at::zeros({3}, at::kLong));
  EXPECT_NEAR(scores.log_probs[0].item<double>(), -std::log(3.0), 1e-6);
  EXPECT_NEAR(scores.entropies[0].item<double>(), std::log(3.0), 1e-6);
  EXPECT(scores.log_probs[1].item<double>() == 0.0 && scores.entropies[1].item<double>() == 0.0);
  EXPECT_NEAR(scores.log_probs[2].item<double>(), -1e30, 1e24);
  EXPECT_NEAR(scores.entropies[2].item<double>(), std::log(2.0), 1e-6);
}

TEST("log-prob head: bfloat16 in, float32 scores out, gradients within bfloat16's rounding") {
  const auto half = [](const at::Tensor& x) { return x.to(at::kBFloat16).set_requires_grad(true); };
  const at::Tensor hidden = half(random({7, 6}, 1)), head = half(random({19, 6}, 2)), targets = targets_below(7, 19);
  const TokenScores scores = score_tokens(hidden, head, targets, 38);
  scores.log_probs.sum().backward();
  const auto exact = [](const at::Tensor& x) { return x.detach().to(at::kDouble).set_requires_grad(true); };
  const at::Tensor exact_hidden = exact(hidden), exact_head = exact(head);
  const at::Tensor log_probs = at::log_softmax(at::linear(exact_hidden, exact_head), 1).gather(1, targets.unsqueeze(1)).squeeze(1);
  log_probs.sum().backward();
  EXPECT(scores.log_probs.scalar_type() == at::kFloat && hidden.grad().scalar_type() == at::kBFloat16);
  EXPECT(largest_difference(scores.log_probs, log_probs) < 5e-2);
  EXPECT(largest_difference(hidden.grad(), exact_hidden.grad()) < 5e-2);
  EXPECT(largest_difference(head.grad(), exact_head.grad()) < 5e-2);
}

// The objective of one token and its slopes in log π and the entropy, by the formulas of policy_loss.h.
struct Slopes {
  double value, by_log_prob, by_entropy;
};

Slopes naive_objective(const LossSettings& s, double log_prob, double entropy, double w, double old, double reference, double u) {
  Slopes result{log_prob * w, w, u * s.entropy_coefficient};
  if (s.clip) {
    const double ratio = std::exp(log_prob - old), clipped = std::clamp(ratio, 1 - s.clip_low, 1 + s.clip_high);
    result.value = std::min(ratio * w, clipped * w);
    result.by_log_prob = ratio * w <= clipped * w ? ratio * w : 0.0;
  }
  const double d = reference - log_prob, scale = u * s.kl_coefficient;
  result.value += u * s.entropy_coefficient * entropy;
  if (s.kl == KlEstimator::kK1) result.value += scale * d, result.by_log_prob -= scale;
  if (s.kl == KlEstimator::kK2) result.value -= scale * d * d / 2, result.by_log_prob += scale * d;
  if (s.kl == KlEstimator::kK3) result.value -= scale * (std::exp(d) - 1 - d), result.by_log_prob -= scale * (1 - std::exp(d));
  return result;
}

TEST("policy objective: clipping, each KL estimator and the entropy term, with their slopes") {
  constexpr int64_t count = 40;
  std::vector<LossSettings> all{{}, {true, 0.1, 0.3, KlEstimator::kNone, 0.0, 0.0}, {false, 0.2, 0.2, KlEstimator::kNone, 0.0, 0.7}};
  for (const auto kl : {KlEstimator::kK1, KlEstimator::kK2, KlEstimator::kK3}) all.push_back({true, 0.2, 0.2, kl, 0.4, 0.3});
  const at::Tensor weights = random({count}, 3), old = random({count}, 4) * 0.3 - 1.0, reference = random({count}, 5) - 1.0,
                   penalties = random({count}, 6).abs();
  for (size_t c = 0; c < all.size(); ++c) {
    const at::Tensor log_probs = (random({count}, 1) * 0.3 - 1.0).set_requires_grad(true);
    const at::Tensor entropies = random({count}, 2).abs().set_requires_grad(true);
    const at::Tensor objective = policy_objective({log_probs, entropies}, {weights, old, reference, penalties}, all[c]);
    objective.backward();
    double sum = 0.0;
    int clipped = 0;
    for (int64_t i = 0; i < count; ++i) {
      const auto at = [&](const at::Tensor& x) { return x[i].item<double>(); };
      const Slopes expected = naive_objective(all[c], at(log_probs), at(entropies), at(weights), at(old), at(reference), at(penalties));
      sum += expected.value;
      clipped += expected.by_log_prob == 0.0 ? 1 : 0;
      EXPECT_NEAR(at(log_probs.grad()), expected.by_log_prob, 1e-5, "settings ", c, " token ", i);
      if (all[c].entropy_coefficient != 0.0) EXPECT_NEAR(at(entropies.grad()), expected.by_entropy, 1e-6, "settings ", c, " token ", i);
    }
    EXPECT_NEAR(objective.item<double>(), sum, 1e-4, "settings ", c);
    EXPECT(c != 1 || (clipped > 5 && clipped < count - 5), "some tokens are clipped, some are not");
  }
}

TEST("value head: Linear, tanh, Linear; a function of its seed") {
  const ValueHead head = ValueHead::make(6, 4, 9, at::kCPU);
  EXPECT(head.hidden_weight.equal(ValueHead::make(6, 4, 9, at::kCPU).hidden_weight));
  EXPECT(!head.hidden_weight.equal(ValueHead::make(6, 4, 8, at::kCPU).hidden_weight));
  for (const auto& slice : head.slices()) slice.tensor.copy_(random(slice.tensor.sizes(), 20 + slice.name.size()));
  const at::Tensor hidden = random({5, 6}, 1), values = head.values(hidden.to(at::kBFloat16)), rounded = hidden.to(at::kBFloat16);
  EXPECT(values.sizes() == at::IntArrayRef({5}) && values.scalar_type() == at::kFloat);
  for (int64_t row = 0; row < 5; ++row) {
    double value = head.output_bias[0].item<double>();
    for (int64_t n = 0; n < 4; ++n) {
      double inner = head.hidden_bias[n].item<double>();
      for (int64_t i = 0; i < 6; ++i) inner += head.hidden_weight[n][i].item<double>() * rounded[row][i].item<double>();
      value += head.output_weight[0][n].item<double>() * std::tanh(inner);
    }
    EXPECT_NEAR(values[row].item<double>(), value, 1e-5, "row ", row);
  }
}

}  // namespace
}  // namespace magrpo::train
