// The log-probability head and the optimizer against the same in double.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>
#include <vector>

#include "test/harness.h"
#include "test/tiny_decoder.h"
#include "train/log_prob_head.h"
#include "train/policy.h"

namespace magrpo::train {
namespace {

using test::largest_difference;
using test::random;

at::Tensor targets_below(int64_t count, int64_t vocab_size) {
  const at::Tensor targets = at::zeros({count}, at::kLong);
  for (int64_t i = 0; i < count; ++i) targets[i] = (7 * i + 3) % vocab_size;
  return targets;
}

TEST("log-prob head: values and gradients are those of log_softmax in double, wherever chunks end") {
  constexpr int64_t count = 11, vocab_size = 19, width = 6;
  const at::Tensor targets = targets_below(count, vocab_size), weights = random({count}, 3);
  const at::Tensor exact_hidden = random({count, width}, 1).to(at::kDouble).set_requires_grad(true);
  const at::Tensor exact_head = random({vocab_size, width}, 2).to(at::kDouble).set_requires_grad(true);
  const at::Tensor all = at::log_softmax(at::linear(exact_hidden, exact_head), 1);
  const at::Tensor log_probs = all.gather(1, targets.unsqueeze(1)).squeeze(1);
  (log_probs * weights).sum().backward();
  // Rows of a chunk: 1 (even if a row is larger), 1, 4 with 3 left over, all.
  for (const int64_t chunk : {int64_t{1}, vocab_size, 4 * vocab_size + 5, kChunkLogits}) {
    const at::Tensor hidden = random({count, width}, 1).set_requires_grad(true), head = random({vocab_size, width}, 2).set_requires_grad(true);
    const TokenScores scores = score_tokens(hidden, head, targets, chunk);
    (scores.log_probs * weights).sum().backward();
    CHECK(largest_difference(scores.log_probs, log_probs) < 3e-6, "chunk ", chunk);
    CHECK(largest_difference(scores.entropies, (all.exp() * all).sum(1).neg()) < 3e-6, "chunk ", chunk);
    CHECK(!scores.entropies.requires_grad());
    CHECK(largest_difference(hidden.grad(), exact_hidden.grad()) < 1e-5, "chunk ", chunk);
    CHECK(largest_difference(head.grad(), exact_head.grad()) < 1e-5, "chunk ", chunk);
  }
}

TEST("log-prob head: a frozen head gets no gradient; a weight of 0 gives none") {
  const at::Tensor hidden = random({4, 6}, 1).set_requires_grad(true), head = random({9, 6}, 2);
  const at::Tensor weights = random({4}, 3);
  weights[2] = 0.0;
  (score_tokens(hidden, head, targets_below(4, 9)).log_probs * weights).sum().backward();
  CHECK(!head.grad().defined());
  CHECK(hidden.grad()[2].count_nonzero().item<int64_t>() == 0 && hidden.grad()[1].count_nonzero().item<int64_t>() > 0);
}

TEST("log-prob head: logits of ±1e30 and -infinity give finite scores") {
  // With an identity as head, hidden states are logits.
  const at::Tensor head = at::zeros({3, 3}, at::kFloat), hidden = at::zeros({3, 3}, at::kFloat);
  for (int64_t i = 0; i < 3; ++i) head[i][i] = 1.0;
  hidden[1][0] = 1e30;
  hidden[2][0] = -1e30;
  const TokenScores scores = score_tokens(hidden, head, at::zeros({3}, at::kLong));
  CHECK_NEAR(scores.log_probs[0].item<double>(), -std::log(3.0), 1e-6);
  CHECK_NEAR(scores.entropies[0].item<double>(), std::log(3.0), 1e-6);
  CHECK(scores.log_probs[1].item<double>() == 0.0 && scores.entropies[1].item<double>() == 0.0);
  CHECK_NEAR(scores.log_probs[2].item<double>(), -1e30, 1e24);
  CHECK_NEAR(scores.entropies[2].item<double>(), std::log(2.0), 1e-6);
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
  CHECK(scores.log_probs.scalar_type() == at::kFloat && hidden.grad().scalar_type() == at::kBFloat16);
  CHECK(largest_difference(scores.log_probs, log_probs) < 5e-2);
  CHECK(largest_difference(hidden.grad(), exact_hidden.grad()) < 5e-2);
  CHECK(largest_difference(head.grad(), exact_head.grad()) < 5e-2);
}

std::vector<at::Tensor> copies(const std::vector<model::NamedSlice>& slices) {
  std::vector<at::Tensor> result;
  for (const auto& slice : slices) result.push_back(slice.view().clone());
  return result;
}

// Fills the policy's gradients with numbers of about `scale`.
void set_gradients(Policy& policy, uint64_t seed, double scale) {
  at::NoGradGuard no_grad;
  for (const auto& slice : policy.slices(Section::kGradients)) slice.view().copy_(random(slice.view().sizes(), seed++) * scale);
}

// AdamW that goes uphill, in double, one number at a time (Loshchilov & Hutter 2019, algorithm 2; clipping as in torch).
struct NaiveAdamW {
  std::vector<std::vector<double>> weights, first, second;
  int steps = 0;

  explicit NaiveAdamW(const std::vector<model::NamedSlice>& slices) {
    for (const auto& slice : slices) weights.push_back(numbers(slice));
    for (const auto& w : weights) {
      first.emplace_back(w.size(), 0.0);
      second.emplace_back(w.size(), 0.0);
    }
  }

  static std::vector<double> numbers(const model::NamedSlice& slice) {
    const at::Tensor flat = slice.view().to(at::kDouble).contiguous().view({-1});
    return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
  }

  // Returns the norm before clipping.
  double step(const std::vector<model::NamedSlice>& gradients, const StepOptions& o) {
    double squares = 0.0;
    for (const auto& gradient : gradients)
      for (const double g : numbers(gradient)) squares += g * g;
    const double norm = std::sqrt(squares);
    const double factor = o.max_grad_norm > 0.0 && norm > o.max_grad_norm ? o.max_grad_norm / (norm + 1e-6) : 1.0;
    ++steps;
    for (size_t t = 0; t < weights.size(); ++t) {
      const auto g = numbers(gradients[t]);
      for (size_t i = 0; i < g.size(); ++i) {
        const double down = -factor * g[i];
        first[t][i] = o.beta1 * first[t][i] + (1 - o.beta1) * down;
        second[t][i] = o.beta2 * second[t][i] + (1 - o.beta2) * down * down;
        const double mean = first[t][i] / (1 - std::pow(o.beta1, steps)), square = second[t][i] / (1 - std::pow(o.beta2, steps));
        weights[t][i] -= o.learning_rate * (o.weight_decay * weights[t][i] + mean / (std::sqrt(square) + o.epsilon));
      }
    }
    return norm;
  }

  double largest_difference(const std::vector<model::NamedSlice>& slices) const {
    double largest = 0.0;
    for (size_t t = 0; t < slices.size(); ++t) {
      const auto actual = numbers(slices[t]);
      for (size_t i = 0; i < actual.size(); ++i) largest = std::max(largest, std::abs(actual[i] - weights[t][i]));
    }
    return largest;
  }
};

// Slices of the optimizer's section whose names start with `prefix`, without it.
std::vector<model::NamedSlice> optimizer_slices(Policy& policy, const std::string& prefix) {
  std::vector<model::NamedSlice> result;
  for (auto slice : policy.slices(Section::kOptimizer))
    if (slice.name.rfind(prefix, 0) == 0) result.push_back(slice);
  return result;
}

Policy adapter_policy() {
  const auto decoder = test::tiny_decoder(test::tiny_config(), 1);
  return Policy(decoder, test::random_adapter(decoder->config(), 2, 1.0, {"q_proj", "up_proj"}, 50));
}

TEST("optimizer: five steps are those of AdamW in double, clipped and not, with a step without gradient") {
  std::vector<Policy> policies;
  policies.emplace_back(test::tiny_decoder(test::tiny_config(), 1));
  policies.push_back(adapter_policy());
  for (auto& policy : policies) {
    NaiveAdamW naive(policy.slices(Section::kWeights));
    StepOptions options;
    options.epsilon = 1e-6;
    options.weight_decay = 0.1;
    for (int step = 0; step < 5; ++step) {
      options.learning_rate = 0.01 / (1 + step);
      options.beta2 = step < 3 ? 0.999 : 0.99;
      options.max_grad_norm = step == 0 ? 0.0 : step == 1 ? 1e6 : 1.0;
      if (step != 3) set_gradients(policy, static_cast<uint64_t>(100 * step), 0.5);
      const double norm = naive.step(policy.slices(Section::kGradients), options);
      if (step == 3) policy.zero_gradients();
      const StepResult result = policy.step(options);
      CHECK(!result.skipped);
      CHECK_NEAR(result.grad_norm, norm, 1e-5 * norm, "step ", step);
    }
    CHECK(naive.largest_difference(policy.slices(Section::kWeights)) < 1e-6, policy.is_full() ? "full" : "adapter");
    CHECK(policy.slices(Section::kOptimizer).front().view().item<double>() == 5.0);
    for (const auto& gradient : policy.slices(Section::kGradients)) CHECK(gradient.view().count_nonzero().item<int64_t>() == 0);
  }
}

TEST("optimizer: a learning rate of 0 leaves weights as they are, bit for bit") {
  Policy policy = adapter_policy();
  const auto before = copies(policy.slices(Section::kWeights));
  set_gradients(policy, 1, 1.0);
  policy.step({});
  const auto after = policy.slices(Section::kWeights);
  for (size_t i = 0; i < after.size(); ++i) CHECK(after[i].view().equal(before[i]), after[i].name);
}

TEST("optimizer: a gradient that is not finite is skipped and dropped; nothing else changes") {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    Policy policy = adapter_policy();
    StepOptions options;
    options.learning_rate = 0.1;
    options.max_grad_norm = 1.0;
    set_gradients(policy, 1, 1.0);
    policy.step(options);
    const auto weights = copies(policy.slices(Section::kWeights)), optimizer = copies(policy.slices(Section::kOptimizer));
    set_gradients(policy, 2, 1.0);
    policy.slices(Section::kGradients)[1].view()[0][0] = bad;
    const StepResult result = policy.step(options);
    CHECK(result.skipped && !std::isfinite(result.grad_norm));
    const auto after = policy.slices(Section::kWeights), optimizer_after = policy.slices(Section::kOptimizer);
    for (size_t i = 0; i < after.size(); ++i) CHECK(after[i].view().equal(weights[i]), after[i].name);
    for (size_t i = 0; i < optimizer.size(); ++i) CHECK(optimizer_after[i].view().equal(optimizer[i]), optimizer_after[i].name);
    for (const auto& gradient : policy.slices(Section::kGradients)) CHECK(gradient.view().count_nonzero().item<int64_t>() == 0);
  }
}

TEST("optimizer: bfloat16 weights follow float32 masters, which keep updates too small for bfloat16") {
  Policy policy(test::tiny_decoder(test::tiny_config(), 1, at::kBFloat16));
  const auto start = copies(policy.slices(Section::kWeights));
  NaiveAdamW naive(policy.slices(Section::kWeights));
  StepOptions options;
  options.learning_rate = 5e-6;
  options.weight_decay = 0.0;
  for (int step = 0; step < 5; ++step) {
    set_gradients(policy, static_cast<uint64_t>(100 * step), 1.0);
    naive.step(policy.slices(Section::kGradients), options);
    policy.step(options);
  }
  const auto masters = optimizer_slices(policy, "master."), weights = policy.slices(Section::kWeights);
  CHECK(masters.size() == weights.size());
  CHECK(naive.largest_difference(masters) < 1e-6);
  for (size_t i = 0; i < masters.size(); ++i) {
    CHECK(masters[i].view().scalar_type() == at::kFloat && weights[i].view().scalar_type() == at::kBFloat16);
    CHECK(weights[i].view().equal(masters[i].view().to(at::kBFloat16)), weights[i].name);
    CHECK(!masters[i].view().equal(start[i].to(at::kFloat)), "no update was lost in ", masters[i].name);
  }
  // Weights read from a file become the masters.
  {
    at::NoGradGuard no_grad;
    weights[0].view().add_(1.0);
  }
  policy.weights_changed();
  CHECK(masters[0].view().equal(weights[0].view().to(at::kFloat)));
}

TEST("policy: what is described is what is saved") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    Policy policy(test::tiny_decoder(test::tiny_config(), 1, dtype));
    for (const auto section : {Section::kWeights, Section::kOptimizer, Section::kGradients}) {
      const auto infos = policy.describe(section);
      const auto slices = policy.slices(section);
      CHECK(infos.size() == slices.size());
      for (size_t i = 0; i < slices.size(); ++i)
        CHECK(infos[i].name == slices[i].name && infos[i].dtype == slices[i].view().scalar_type() &&
                  at::IntArrayRef(infos[i].shape) == slices[i].view().sizes(),
              slices[i].name);
    }
  }
}

}  // namespace
}  // namespace magrpo::train
