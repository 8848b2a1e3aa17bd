// A CUDA device against the CPU, in CUDA builds (MAGRPO_CUDA=1 npm test): says that it skips where there is no device.
#ifdef MAGRPO_CUDA
#include "core/device.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/clamp.h>

#include <cstdio>

#include "rollout/drawn_tokens.h"
#include "rollout/generate.h"
#include "test/harness.h"
#include "test/tiny_decoder.h"
#include "train/log_prob_head.h"

namespace magrpo::test {
namespace {

bool has_device() {
  const std::string reason = core::cuda_unavailable_reason();
  if (!reason.empty()) std::printf("    skipped, no CUDA device: %s\n", reason.c_str());
  return reason.empty();
}

// A prompt of 5 with completions of 4 and 1.
core::TokenTree small_tree() { return {{-1, 0, 0}, {0, 5, 9, 10}, {3, 1, 4, 1, 5, 9, 2, 6, 5, 3}, {-1, -1, -1}}; }

std::shared_ptr<model::Decoder> moved(const model::Decoder& decoder, const at::Device& device) {
  model::Weights weights = model::allocate_weights(decoder.config(), decoder.weights().embedding.options().device(device));
  const auto to = parameters(decoder.config(), weights), from = parameters(decoder.config(), decoder.weights());
  for (size_t i = 0; i < to.size(); ++i) at::Tensor(to[i]).copy_(from[i]);
  return std::make_shared<model::Decoder>(decoder.config(), std::move(weights));
}

// Hidden states and the gradients of their weighted sum.
std::vector<at::Tensor> forward_and_gradients(const model::Decoder& decoder) {
  const core::DeviceScope scope = decoder.on_device();
  const core::TokenTree tree = small_tree();
  std::vector<int64_t> rows(static_cast<size_t>(tree.tokens()));
  const auto segments = model::segments_by_root(tree);
  const auto batch = model::pack_roots(tree, segments, 0, static_cast<int64_t>(segments.size()), model::KeyPlace::kPass, rows);
  for (at::Tensor parameter : parameters(decoder.config(), decoder.weights())) parameter.set_requires_grad(true);
  const at::Tensor hidden = decoder.forward(batch, {}, nullptr);
  (hidden * random(hidden.sizes(), 3).to(hidden.device())).sum().backward();
  std::vector<at::Tensor> result{hidden.detach().cpu()};
  for (at::Tensor parameter : parameters(decoder.config(), decoder.weights())) {
    if (parameter.grad().defined()) result.push_back(parameter.grad().cpu());
    parameter.set_requires_grad(false);
  }
  return result;
}

rollout::GenerateResult generated(const model::Decoder& decoder, const rollout::Sampling& sampling) {
  rollout::GenerateRequest request;
  request.tree = small_tree();
  request.sampling = sampling;
  // Two samples of one prompt, so that they share a row of its logits, and one of another.
  for (const int32_t segment : {1, 1, 2}) request.rows.push_back({segment, 6, {7, 0, 0, 0, static_cast<uint32_t>(request.rows.size())}});
  rollout::Generation generation(decoder, std::move(request), std::make_shared<core::CancelFlag>());
  while (!generation.advance()) continue;
  return generation.take_result();
}

// Log-probs, entropies and the gradients of a weighted sum of both.
std::vector<at::Tensor> scored(const at::Device& device) {
  const at::Tensor hidden = random({7, 6}, 1).to(device).set_requires_grad(true),
                   head = random({19, 6}, 2).to(device).set_requires_grad(true);
  const at::Tensor weights = random({7}, 3).to(device), targets = (random({7}, 4).abs() * 10.0).to(at::kLong).clamp_(0, 18).to(device);
  const train::TokenScores scores = train::score_tokens(hidden, head, targets, 4 * 19);
  (scores.log_probs * weights + scores.entropies * weights.flip(0)).sum().backward();
  return {scores.log_probs.detach().cpu(), scores.entropies.detach().cpu(), hidden.grad().cpu(), head.grad().cpu()};
}

}  // namespace

TEST("device: forward and backward pass on CUDA are those of the CPU") {
  if (!has_device()) return;
  const auto cpu = tiny_decoder(tiny_config(), 1);
  const auto cuda = moved(*cpu, at::Device(at::kCUDA, 0));
  const auto expected = forward_and_gradients(*cpu), seen = forward_and_gradients(*cuda);
  EXPECT(seen.size() == expected.size());
  for (size_t i = 0; i < seen.size(); ++i) EXPECT(largest_difference(seen[i], expected[i]) < 1e-4, i);
}

TEST("device: tokens chosen on CUDA are those of the CPU") {
  if (!has_device()) return;
  const at::Tensor logits = random({4, 23}, 5) * 3.0;
  const std::vector<double> uniforms{0.1, 0.4, 0.6, 0.9};
  std::vector<rollout::Choice> seen;
  rollout::DrawnTokens(logits.to(at::Device(at::kCUDA, 0)), {}, uniforms).read(seen);
  rollout::SamplerScratch scratch;
  for (int64_t r = 0; r < 4; ++r) {
    const auto expected = rollout::choose_token(logits.const_data_ptr<float>() + r * 23, 23, {}, {}, uniforms[r], scratch);
    EXPECT(seen[r].token == expected.token);
    EXPECT_NEAR(seen[r].log_prob, expected.log_prob, 1e-5);
  }
}

TEST("device: log-probs, entropies and their gradients on CUDA are those of the CPU") {
  if (!has_device()) return;
  const auto expected = scored(at::kCPU), seen = scored(at::Device(at::kCUDA, 0));
  for (size_t i = 0; i < seen.size(); ++i) EXPECT(largest_difference(seen[i], expected[i]) < 1e-4, i);
}

TEST("device: generation on CUDA draws the CPU's tokens, whether the device samples or the CPU does") {
  if (!has_device()) return;
  const auto cpu = tiny_decoder(tiny_config(), 1);
  const auto cuda = moved(*cpu, at::Device(at::kCUDA, 0));
  rollout::Sampling greedy, filtered;
  greedy.temperature = 0.0;
  filtered.top_p = 0.9;
  for (const rollout::Sampling& sampling : {rollout::Sampling{}, greedy, filtered}) {
    const auto expected = generated(*cpu, sampling), seen = generated(*cuda, sampling);
    for (size_t r = 0; r < seen.rows.size(); ++r) EXPECT(seen.rows[r].ids == expected.rows[r].ids, "row ", r);
  }
}

}  // namespace magrpo::test
#endif
