// CUDA devices against the CPU: GPUs in CUDA builds (MAGRPO_CUDA=1 npm test), else the software device's.
#include "core/device.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/clamp.h>

#include <optional>

#include "check/kernel_check.h"
#include "core/random.h"
#include "rollout/drawn_tokens.h"
#include "rollout/generate.h"
#include "test/devices.h"
#include "test/harness.h"
#include "test/tiny_decoder.h"
#include "train/log_prob_head.h"

namespace magrpo::test {
namespace {

// A prompt of 5 with completions of 4 and 1.
core::TokenTree small_tree() { return {{-1, 0, 0}, {0, 5, 9, 10}, {3, 1, 4, 1, 5, 9, 2, 6, 5, 3}, {-1, -1, -1}}; }

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

rollout::GenerateResult taken(const model::Decoder& decoder, rollout::GenerateRequest request) {
  const core::DeviceScope scope = decoder.on_device();
  rollout::Generation generation(decoder, std::move(request), std::make_shared<core::CancelFlag>());
  while (!generation.advance()) continue;
  return generation.take_result();
}

rollout::GenerateResult generated(const model::Decoder& decoder, const rollout::Sampling& sampling,
                                  const model::Adapter* adapter = nullptr) {
  rollout::GenerateRequest request;
  request.tree = small_tree();
  request.sampling = sampling;
  if (adapter != nullptr) {
    request.adapters = {adapter};
    request.tree.policy = {0, 0, 0};
  }
  // Two samples of one prompt, so that they share a row of its logits, and one of another.
  for (const int32_t segment : {1, 1, 2}) request.rows.push_back({segment, 6, {7, 0, 0, 0, static_cast<uint32_t>(request.rows.size())}});
  return taken(decoder, std::move(request));
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
  for (const at::Device& device : cuda_devices())
    for (const char* architecture : kArchitectures) {
      const auto cpu = tiny_decoder(tiny_config(architecture), 1), cuda = moved(*cpu, device);
      const auto expected = forward_and_gradients(*cpu), seen = forward_and_gradients(*cuda);
      EXPECT(seen.size() == expected.size());
      for (size_t i = 0; i < seen.size(); ++i) EXPECT(largest_difference(seen[i], expected[i]) < 1e-4, architecture, " ", i);
    }
}

TEST("device: tokens chosen on CUDA are those of the CPU") {
  const at::Tensor logits = random({4, 23}, 5) * 3.0;
  const std::vector<double> uniforms{0.1, 0.4, 0.6, 0.9};
  for (const at::Device& device : cuda_devices()) {
    const core::DeviceScope scope(device);
    std::vector<rollout::Choice> seen;
    rollout::DrawnTokens(logits.to(device), {}, uniforms).read(seen);
    rollout::SamplerScratch scratch;
    for (int64_t r = 0; r < 4; ++r) {
      const auto expected = rollout::choose_token(logits.const_data_ptr<float>() + r * 23, 23, {}, {}, uniforms[r], scratch);
      EXPECT(seen[r].token == expected.token);
      EXPECT_NEAR(seen[r].log_prob, expected.log_prob, 1e-5);
    }
  }
}

TEST("device: log-probs, entropies and their gradients on CUDA are those of the CPU") {
  const auto expected = scored(at::kCPU);
  for (const at::Device& device : cuda_devices()) {
    const core::DeviceScope scope(device);
    const auto seen = scored(device);
    for (size_t i = 0; i < seen.size(); ++i) EXPECT(largest_difference(seen[i], expected[i]) < 1e-4, i);
  }
}

TEST("device: generation on CUDA draws the CPU's tokens, whether the device samples or the CPU does") {
  const auto cpu = tiny_decoder(tiny_config(), 1);
  rollout::Sampling greedy, filtered, cooled;
  greedy.temperature = 0.0;
  filtered.top_p = 0.9;
  cooled.temperature = 0.7;
  for (const at::Device& device : cuda_devices()) {
    const auto cuda = moved(*cpu, device);
    for (const rollout::Sampling& sampling : {rollout::Sampling{}, greedy, filtered, cooled}) {
      const auto expected = generated(*cpu, sampling), seen = generated(*cuda, sampling);
      for (size_t r = 0; r < seen.rows.size(); ++r) EXPECT(seen.rows[r].ids == expected.rows[r].ids, "row ", r);
    }
  }
}

TEST("device: generation after a prompt that decoding splits, in every kind of layer") {
  core::TokenTree tree{{-1, 0}, {0, 300, 301}, {}, {-1, -1}};
  const core::RandomStream stream{3, 0, 0, 0, 0};
  for (uint32_t i = 0; i < 301; ++i) tree.ids.push_back(static_cast<int32_t>(23 * stream.uniform(i)));
  const auto drawn = [&](const model::Decoder& decoder) {
    rollout::GenerateRequest request;
    request.tree = tree;
    for (uint32_t i = 0; i < 2; ++i) request.rows.push_back({static_cast<int32_t>(i), 4, {7, 0, 0, 0, i}});
    return taken(decoder, std::move(request));
  };
  for (const at::Device& device : cuda_devices())
    for (const char* architecture : kArchitectures) {
      const auto cpu = tiny_decoder(tiny_config(architecture), 1);
      const auto expected = drawn(*cpu), seen = drawn(*moved(*cpu, device));
      for (size_t r = 0; r < seen.rows.size(); ++r) EXPECT(seen.rows[r].ids == expected.rows[r].ids, architecture, " row ", r);
    }
}

TEST("device: generation with adapters, graphs, streams and pinned memory draws the same tokens") {
  const auto cpu = tiny_decoder(tiny_config(), 1);
  const auto adapter = random_adapter(cpu->config(), 2, 0.7, {"q_proj", "v_proj", "o_proj", "down_proj"}, 50);
  const auto expected = generated(*cpu, {}, &adapter);
  for (const at::Device& device : cuda_devices())
    for (int switches = 0; switches < 8; ++switches) {
      std::optional<Switch> graphs, streams, pinned;
      if ((switches & 1) != 0) graphs.emplace("MAGRPO_CUDA_GRAPHS");
      if ((switches & 2) != 0) streams.emplace("MAGRPO_CUDA_STREAMS");
      if ((switches & 4) != 0) pinned.emplace("MAGRPO_CUDA_PINNED");
      const auto cuda = moved(*cpu, device);
      const auto there = moved(adapter, device);
      const auto seen = generated(*cuda, {}, &there);
      for (size_t r = 0; r < seen.rows.size(); ++r) {
        EXPECT(seen.rows[r].ids == expected.rows[r].ids, "switches ", switches, " row ", r);
        for (size_t i = 0; i < seen.rows[r].ids.size(); ++i)
          EXPECT_NEAR(seen.rows[r].log_probs[i], expected.rows[r].log_probs[i], 1e-4, "switches ", switches, " row ", r, " token ", i);
      }
    }
}

TEST("device: every kernel computes on CUDA what the CPU's computes") {
  for (const at::Device& device : cuda_devices())
    for (const check::KernelCase& kernel_case : check::kernel_cases(/*quick=*/core::build_variant() == "software")) {
      const check::KernelResult result = check::run_case(kernel_case, device);
      EXPECT(result.passed, result.kernel, ", ", result.shape, ", ", result.dtype, ": ", result.where, " is ", result.seen, " instead of ",
             result.expected, ", bound ", result.bound);
    }
}

TEST("device: a kernel that differs from the CPU's is found, with its place") {
  const check::KernelCase wrong{"wrong", "2 x 3", "float32", 1e-3, [](const at::Device& device) {
                                  at::Tensor y = random({2, 3}, 1).to(device);
                                  if (device.is_cuda()) y.narrow(0, 1, 1).narrow(1, 2, 1).fill_(7.0);
                                  return check::Outputs{{"y", y}};
                                }};
  for (const at::Device& device : cuda_devices()) {
    const check::KernelResult result = check::run_case(wrong, device);
    EXPECT(!result.passed && result.where == "y[1, 2]" && result.seen == 7.0, result.where);
    const check::KernelCase unwritten{"nothing", "2", "float32", 1.0, [](const at::Device& at) {
                                        return check::Outputs{{"y", at.is_cuda() ? check::unwritten({2}, at) : random({2}, 1)}};
                                      }};
    EXPECT(!check::run_case(unwritten, device).passed);
    const check::KernelCase throws{"none", "0", "float32", 1.0,
                                   [](const at::Device&) -> check::Outputs { throw std::runtime_error("no such kernel"); }};
    EXPECT(check::run_case(throws, device).where == "no such kernel");
  }
}

}  // namespace magrpo::test
