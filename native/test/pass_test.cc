// Log-probabilities and gradients of a token tree against a plain float64 decoder that computes each text by itself.
#include "train/pass.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <map>
#include <vector>

#include "core/random.h"
#include "test/harness.h"
#include "test/tiny_decoder.h"

namespace magrpo::train {
namespace {

using test::largest_difference;
using test::random;

// Texts of policies 1, 0 and, last, the bare base. The first prompt has children of 4 and 1 tokens; under an empty child stand
// one of 3 tokens and another of 2.
core::TokenTree sample_tree(int32_t first_policy, int32_t second_policy) {
  core::TokenTree tree{{-1, 0, 0, 0, 3, 3, -1, 6, -1}, {0, 5, 9, 10, 10, 13, 15, 18, 24, 27}, {}, {}};
  for (int s = 0; s < 9; ++s) tree.policy.push_back(s < 6 ? first_policy : s < 8 ? second_policy : -1);
  const core::RandomStream stream{3, 0, 0, 0, 0};
  for (uint32_t i = 0; i < 27; ++i) tree.ids.push_back(static_cast<int32_t>(23 * stream.uniform(i)));
  return tree;
}

// Every token is scored except the first ones of roots; some of the prompts' and most of the children's carry weights.
PassRequest sample_request(core::TokenTree tree, std::vector<std::shared_ptr<Policy>> policies, bool with_weights) {
  PassRequest request;
  const auto starts = tree.starts();
  request.scored.assign(tree.ids.size(), 1);
  if (with_weights) request.weights.assign(tree.ids.size(), 0.0f);
  const core::RandomStream stream{4, 0, 0, 0, 0};
  for (int64_t s = 0; s < tree.segments(); ++s)
    for (int64_t i = tree.offset[s]; i < tree.offset[s + 1]; ++i) {
      const bool first = tree.parent[s] < 0 && i == tree.offset[s];
      if (first) request.scored[i] = 0;
      else if (with_weights && tree.policy[s] >= 0 && i % 7 != 0)
        request.weights[i] = static_cast<float>(stream.uniform(static_cast<uint32_t>(i)) - 0.4);
    }
  request.tree = std::move(tree);
  request.policies = std::move(policies);
  return request;
}

ScoreResult run(const model::Decoder& decoder, PassRequest request, int* passes = nullptr) {
  Pass pass(decoder, std::move(request), std::make_shared<core::CancelFlag>());
  int count = 1;
  while (!pass.advance()) ++count;
  if (passes != nullptr) *passes = count;
  return pass.take_result();
}

struct Reference {
  model::Weights weights;                // float64 leaves
  std::vector<model::Adapter> adapters;  // one per policy of adapters
  std::vector<at::Tensor> log_probs;     // (N) scalars, undefined where not scored
  std::vector<double> entropies;
  at::Tensor objective;  // Σ w · log π
};

// Computes the path of each segment by itself.
Reference reference(const model::Config& config, model::Weights weights, std::vector<model::Adapter> adapters, const PassRequest& request) {
  const core::TokenTree& tree = request.tree;
  Reference result{std::move(weights), std::move(adapters), {}, {}, at::zeros({}, at::kDouble)};
  result.log_probs.resize(tree.ids.size());
  result.entropies.resize(tree.ids.size());
  const auto starts = tree.starts();
  for (int32_t s = 0; s < tree.segments(); ++s) {
    std::vector<int32_t> text;
    for (int32_t at = s; at >= 0; at = tree.parent[at])
      text.insert(text.begin(), tree.ids.begin() + tree.offset[at], tree.ids.begin() + tree.offset[at + 1]);
    const bool adapted = tree.policy[s] >= 0 && !result.adapters.empty();
    const at::Tensor all = test::naive_log_probs(config, result.weights, adapted ? &result.adapters[tree.policy[s]] : nullptr, text);
    for (int64_t i = tree.offset[s]; i < tree.offset[s + 1]; ++i) {
      const int64_t position = starts[s] + i - tree.offset[s];
      if (position == 0) continue;
      const at::Tensor row = all[position - 1];
      result.log_probs[i] = row[tree.ids[i]];
      result.entropies[i] = -(row.exp() * row).sum().item<double>();
      if (!request.weights.empty() && request.weights[i] != 0.0f)
        result.objective = result.objective + result.log_probs[i] * request.weights[i];
    }
  }
  return result;
}

void check_scores(const PassRequest& request, const ScoreResult& actual, const Reference& expected, double tolerance) {
  for (size_t i = 0; i < request.scored.size(); ++i) {
    if (request.scored[i] == 0) {
      EXPECT(actual.log_probs[i] == 0.0f && actual.entropies[i] == 0.0f, "token ", i);
      continue;
    }
    EXPECT_NEAR(actual.log_probs[i], expected.log_probs[i].item<double>(), tolerance, "token ", i);
    EXPECT_NEAR(actual.entropies[i], expected.entropies[i], tolerance, "token ", i);
  }
}

// Each gradient within `tolerance` of the largest entry of the expected one.
void check_gradients(Policy& policy, const std::vector<model::NamedSlice>& expected, double tolerance) {
  const auto actual = policy.slices(Section::kGradients);
  EXPECT(actual.size() == expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    const at::Tensor& whole = expected[i].tensor.grad();
    const at::Tensor gradient = whole.defined() ? whole.narrow(0, expected[i].row, expected[i].rows) : at::zeros_like(expected[i].view());
    const double size = gradient.abs().max().item<double>();
    EXPECT(largest_difference(actual[i].view(), gradient) <= tolerance * size + 1e-7, actual[i].name, " of size ", size);
  }
}

TEST("float64 decoder: its gradients are those of finite differences") {
  for (const char* architecture : test::kArchitectures) {
    const auto decoder = test::tiny_decoder(test::tiny_config(architecture), 1);
    const auto request = sample_request(sample_tree(0, 0), {}, true);
    const auto evaluate = [&](const model::Weights& weights) { return reference(decoder->config(), weights, {}, request); };
    const Reference at_start = evaluate(test::in_double(decoder->config(), decoder->weights()));
    at_start.objective.backward();
    const auto parameters = test::parameters(decoder->config(), at_start.weights);
    for (size_t p = 0; p < parameters.size(); ++p) {
      const at::Tensor direction = random(parameters[p].sizes(), 200 + p).to(at::kDouble);
      at::NoGradGuard no_grad;
      const auto moved = [&](double by) {
        parameters[p].add_(direction * by);
        const double value = evaluate(at_start.weights).objective.item<double>();
        parameters[p].sub_(direction * by);
        return value;
      };
      const double slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
      EXPECT_NEAR((parameters[p].grad() * direction).sum().item<double>(), slope, 1e-6 * (1 + std::abs(slope)), "parameter ", p);
    }
  }
}

TEST("accumulate: full weights get the gradients of separate texts in float64, tied head or not") {
  for (const bool tied : {false, true})
    for (const char* architecture : test::kArchitectures) {
      model::Config config = test::tiny_config(architecture);
      config.tie_word_embeddings = tied;
      const auto decoder = test::tiny_decoder(config, 1);
      const auto policy = std::make_shared<Policy>(decoder);
      const auto request = sample_request(sample_tree(0, 0), {policy}, true);
      const auto expected = reference(config, test::in_double(decoder->config(), decoder->weights()), {}, request);
      expected.objective.backward();
      check_scores(request, run(*decoder, request), expected, 2e-5);
      check_gradients(*policy, model::named_slices(config, expected.weights), 1e-4);
      EXPECT(!decoder->weights().head.requires_grad(), "gradients are wanted during accumulate only");
    }
}

struct Adapters {
  std::string architecture = "qwen3";
  std::shared_ptr<model::Decoder> decoder = test::tiny_decoder(test::tiny_config(architecture), 1);
  model::Adapter first =
      test::random_adapter(decoder->config(), 2, 0.7, {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}, 50);
  model::Adapter second = test::random_adapter(decoder->config(), 3, 1.5, {"v_proj", "down_proj"}, 90);
  std::vector<std::shared_ptr<Policy>> policies{std::make_shared<Policy>(decoder, first), std::make_shared<Policy>(decoder, second)};
};

TEST("accumulate: each adapter gets the gradients of its own texts, the base none") {
  for (const char* architecture : test::kArchitectures) {
    const Adapters a{architecture};
    const auto request = sample_request(sample_tree(1, 0), a.policies, true);
    const auto expected = reference(a.decoder->config(), test::in_double(a.decoder->config(), a.decoder->weights()),
                                    {test::in_double(a.first), test::in_double(a.second)}, request);
    expected.objective.backward();
    check_scores(request, run(*a.decoder, request), expected, 2e-5);
    for (size_t p = 0; p < 2; ++p) check_gradients(*a.policies[p], model::named_slices(expected.adapters[p]), 1e-4);
    EXPECT(!a.decoder->weights().layers[0].qkv.grad().defined());
  }
}

TEST("accumulate: micro-batches of one root and repeated calls add up to the whole") {
  const Adapters a;
  const auto gradients = [&] {
    std::vector<at::Tensor> result;
    for (const auto& policy : a.policies)
      for (const auto& slice : policy->slices(Section::kGradients)) result.push_back(slice.view().clone());
    return result;
  };
  auto request = sample_request(sample_tree(1, 0), a.policies, true);
  int passes = 0;
  const ScoreResult whole = run(*a.decoder, request, &passes);
  EXPECT(passes == 1);
  const auto once = gradients();
  for (const auto& policy : a.policies) policy->zero_gradients();
  request.max_tokens_per_micro_batch = 1;
  const ScoreResult cut = run(*a.decoder, request, &passes);
  EXPECT(passes == 3);
  const auto in_parts = gradients();
  run(*a.decoder, request);
  const auto twice = gradients();
  for (size_t i = 0; i < once.size(); ++i) {
    const double size = once[i].abs().max().item<double>();
    EXPECT(largest_difference(in_parts[i], once[i]) <= 1e-5 * size, "tensor ", i);
    EXPECT(largest_difference(twice[i], once[i] * 2.0) <= 2e-5 * size, "tensor ", i);
  }
  for (size_t i = 0; i < whole.log_probs.size(); ++i) EXPECT_NEAR(cut.log_probs[i], whole.log_probs[i], 1e-5, "token ", i);
}

TEST("accumulate: scores alone build no graph; weights of 0 leave no gradient") {
  const Adapters a;
  const auto with_weights = run(*a.decoder, sample_request(sample_tree(1, 0), a.policies, true));
  for (const auto& policy : a.policies) policy->zero_gradients();
  const auto scores = run(*a.decoder, sample_request(sample_tree(1, 0), a.policies, false));
  auto zero = sample_request(sample_tree(1, 0), a.policies, true);
  zero.weights.assign(zero.weights.size(), 0.0f);
  const auto unweighted = run(*a.decoder, zero);
  for (size_t i = 0; i < scores.log_probs.size(); ++i) {
    EXPECT_NEAR(scores.log_probs[i], with_weights.log_probs[i], 1e-5, "token ", i);
    EXPECT(scores.log_probs[i] == unweighted.log_probs[i], "token ", i);
  }
  for (const auto& policy : a.policies)
    for (const auto& slice : policy->slices(Section::kGradients)) EXPECT(slice.view().count_nonzero().item<int64_t>() == 0, slice.name);
}

TEST("accumulate: bfloat16 weights get float32 gradients near those of float64") {
  for (const char* architecture : test::kArchitectures) {
    const auto decoder = test::tiny_decoder(test::tiny_config(architecture), 1, at::kBFloat16);
    const auto policy = std::make_shared<Policy>(decoder);
    auto request = sample_request(sample_tree(0, 0), {policy}, true);
    request.max_tokens_per_micro_batch = 1;
    const auto expected = reference(decoder->config(), test::in_double(decoder->config(), decoder->weights()), {}, request);
    expected.objective.backward();
    run(*decoder, request);
    double difference = 0.0, size = 0.0;
    const auto actual = policy->slices(Section::kGradients), exact = model::named_slices(decoder->config(), expected.weights);
    for (size_t i = 0; i < actual.size(); ++i) {
      const at::Tensor gradient = exact[i].tensor.grad().narrow(0, exact[i].row, exact[i].rows);
      EXPECT(actual[i].view().scalar_type() == at::kFloat);
      difference += (actual[i].view() - gradient).square().sum().item<double>();
      size += gradient.square().sum().item<double>();
    }
    EXPECT(std::sqrt(difference / size) < 0.05, architecture, ": relative difference ", std::sqrt(difference / size));
  }
}

TEST("accumulate: requests that do not fit are refused, a cancelled one stops") {
  const Adapters a;
  const auto broken = [&](auto change) {
    PassRequest request = sample_request(sample_tree(1, 0), a.policies, true);
    change(request);
    return request;
  };
  using Request = PassRequest;
  EXPECT_THROWS("ERR_ARGUMENT", run(*a.decoder, broken([](Request& r) { r.scored.pop_back(); })));
  EXPECT_THROWS("ERR_ARGUMENT", run(*a.decoder, broken([](Request& r) { r.weights.pop_back(); })));
  EXPECT_THROWS("ERR_ARGUMENT", run(*a.decoder, broken([](Request& r) { r.scored[0] = 1; })));
  EXPECT_THROWS("ERR_ARGUMENT", run(*a.decoder, broken([](Request& r) { r.weights[6] = NAN; })));
  EXPECT_THROWS("ERR_ARGUMENT", run(*a.decoder, broken([](Request& r) { r.weights[6] = 1.0f, r.scored[6] = 0; })));
  EXPECT_THROWS("ERR_ARGUMENT", run(*a.decoder, broken([](Request& r) { r.weights[25] = 1.0f; })));
  EXPECT_THROWS("ERR_ARGUMENT", run(*a.decoder, broken([&](Request& r) { r.policies[0] = std::make_shared<Policy>(a.decoder); })));
  EXPECT_THROWS("ERR_TOKEN_RANGE", run(*a.decoder, broken([](Request& r) { r.tree.ids[3] = 23; })));
  const auto cancel = std::make_shared<core::CancelFlag>();
  Pass pass(*a.decoder, broken([](Request& r) { r.max_tokens_per_micro_batch = 1; }), cancel);
  EXPECT(!pass.advance());
  cancel->cancel();
  EXPECT_THROWS("ERR_CANCELLED", pass.advance());
}

}  // namespace
}  // namespace magrpo::train
