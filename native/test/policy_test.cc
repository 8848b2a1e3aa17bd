// The optimizer against the same in double; what a policy saves.
#include "train/policy.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "test/harness.h"
#include "test/tiny_decoder.h"

namespace magrpo::train {
namespace {

using test::random;

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
  std::vector<bool> is_matrix;
  int steps = 0;

  explicit NaiveAdamW(const std::vector<model::NamedSlice>& slices) {
    for (const auto& slice : slices) {
      weights.push_back(numbers(slice));
      is_matrix.push_back(slice.view().dim() == 2);
    }
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
      const double decay = o.decay_all || is_matrix[t] ? o.weight_decay : 0.0;
      for (size_t i = 0; i < g.size(); ++i) {
        const double down = -factor * g[i];
        first[t][i] = o.beta1 * first[t][i] + (1 - o.beta1) * down;
        second[t][i] = o.beta2 * second[t][i] + (1 - o.beta2) * down * down;
        const double mean = first[t][i] / (1 - std::pow(o.beta1, steps)), square = second[t][i] / (1 - std::pow(o.beta2, steps));
        weights[t][i] -= o.learning_rate * (decay * weights[t][i] + mean / (std::sqrt(square) + o.epsilon));
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

TEST("optimizer: five steps are those of AdamW in double, clipped and not, with a step without gradient, decaying matrices or all") {
  std::vector<Policy> policies;
  for (int i = 0; i < 2; ++i) {
    policies.emplace_back(test::tiny_decoder(test::tiny_config(), 1));
    policies.push_back(adapter_policy());
  }
  for (size_t i = 0; i < policies.size(); ++i) {
    Policy& policy = policies[i];
    NaiveAdamW naive(policy.slices(Section::kWeights));
    StepOptions options;
    options.epsilon = 1e-6;
    options.weight_decay = 0.1;
    options.decay_all = i >= 2;
    for (int step = 0; step < 5; ++step) {
      options.learning_rate = 0.01 / (1 + step);
      options.beta2 = step < 3 ? 0.999 : 0.99;
      options.max_grad_norm = step == 0 ? 0.0 : step == 1 ? 1e6 : 1.0;
      if (step != 3) set_gradients(policy, static_cast<uint64_t>(100 * step), 0.5);
      const double norm = naive.step(policy.slices(Section::kGradients), options);
      if (step == 3) policy.zero_gradients();
      const StepResult result = policy.step(options);
      EXPECT(!result.skipped);
      EXPECT_NEAR(result.grad_norm, norm, 1e-5 * norm, "step ", step);
    }
    EXPECT(naive.largest_difference(policy.slices(Section::kWeights)) < 1e-6, policy.is_full() ? "full" : "adapter");
    EXPECT(policy.slices(Section::kOptimizer).front().view().item<double>() == 5.0);
    for (const auto& gradient : policy.slices(Section::kGradients)) EXPECT(gradient.view().count_nonzero().item<int64_t>() == 0);
  }
}

TEST("optimizer: a learning rate of 0 leaves weights as they are, bit for bit") {
  Policy policy = adapter_policy();
  const auto before = copies(policy.slices(Section::kWeights));
  set_gradients(policy, 1, 1.0);
  policy.step({});
  const auto after = policy.slices(Section::kWeights);
  for (size_t i = 0; i < after.size(); ++i) EXPECT(after[i].view().equal(before[i]), after[i].name);
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
    EXPECT(result.skipped && !std::isfinite(result.grad_norm));
    const auto after = policy.slices(Section::kWeights), optimizer_after = policy.slices(Section::kOptimizer);
    for (size_t i = 0; i < after.size(); ++i) EXPECT(after[i].view().equal(weights[i]), after[i].name);
    for (size_t i = 0; i < optimizer.size(); ++i) EXPECT(optimizer_after[i].view().equal(optimizer[i]), optimizer_after[i].name);
    for (const auto& gradient : policy.slices(Section::kGradients)) EXPECT(gradient.view().count_nonzero().item<int64_t>() == 0);
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
  EXPECT(masters.size() == weights.size());
  EXPECT(naive.largest_difference(masters) < 1e-6);
  for (size_t i = 0; i < masters.size(); ++i) {
    EXPECT(masters[i].view().scalar_type() == at::kFloat && weights[i].view().scalar_type() == at::kBFloat16);
    EXPECT(weights[i].view().equal(masters[i].view().to(at::kBFloat16)), weights[i].name);
    EXPECT(!masters[i].view().equal(start[i].to(at::kFloat)), "no update was lost in ", masters[i].name);
  }
  // Weights read from a file become the masters.
  {
    at::NoGradGuard no_grad;
    weights[0].view().add_(1.0);
  }
  policy.weights_changed();
  EXPECT(masters[0].view().equal(weights[0].view().to(at::kFloat)));
}

TEST("policy: what is described is what is saved") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    Policy policy(test::tiny_decoder(test::tiny_config(), 1, dtype));
    for (const auto section : {Section::kWeights, Section::kOptimizer, Section::kGradients}) {
      const auto infos = policy.describe(section);
      const auto slices = policy.slices(section);
      EXPECT(infos.size() == slices.size());
      for (size_t i = 0; i < slices.size(); ++i)
        EXPECT(infos[i].name == slices[i].name && infos[i].dtype == slices[i].view().scalar_type() &&
                   at::IntArrayRef(infos[i].shape) == slices[i].view().sizes(),
               slices[i].name);
    }
  }
}

}  // namespace
}  // namespace magrpo::train
