// Training on CUDA devices against the CPU: a policy's scores, gradients, optimizer steps, files.
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/norm.h>
#include <ATen/ops/zeros.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <thread>

#include "core/random.h"
#include "core/token_set.h"
#include "test/devices.h"
#include "test/harness.h"
#include "test/tiny_decoder.h"
#include "train/pass.h"

namespace magrpo::test {
namespace {

using train::Policy;
using train::Section;

// Two prompts with completions.
core::TokenTree texts() {
  core::TokenTree tree{{-1, 0, 0, -1, 3}, {0, 5, 9, 10, 16, 22}, {}, {0, 0, 0, 0, 0}};
  const core::RandomStream stream{3, 0, 0, 0, 0};
  for (uint32_t i = 0; i < 22; ++i) tree.ids.push_back(static_cast<int32_t>(23 * stream.uniform(i)));
  return tree;
}

struct Case {
  const char* name;
  const char* architecture = "qwen3";
  bool is_adapter = false;
  bool checkpoints = false;
  double temperature = 1.0;
  double penalty = 1.0;
  bool filters = false;
  bool has_values = false;
  at::ScalarType dtype = at::kFloat;
  double tolerance = 1e-4;
};

const Case kCases[]{{.name = "full"},
                    {.name = "gemma3", .architecture = "gemma3_text"},
                    {.name = "adapter", .is_adapter = true},
                    {.name = "checkpoints", .checkpoints = true},
                    {.name = "sampled", .temperature = 0.7, .penalty = 1.3, .filters = true},
                    {.name = "values", .is_adapter = true, .has_values = true},
                    {.name = "bfloat16", .dtype = at::kBFloat16, .tolerance = 0.1}};

train::PassRequest request_of(const Case& test, const std::shared_ptr<Policy>& policy) {
  train::PassRequest request;
  request.tree = texts();
  request.policies = {policy};
  const size_t tokens = request.tree.ids.size();
  request.scored.assign(tokens, 1);
  request.scored[0] = request.scored[10] = 0;
  const core::RandomStream stream{4, 0, 0, 0, 0};
  for (uint32_t i = 0; i < tokens; ++i)
    request.weights.push_back(request.scored[i] == 0 ? 0.0f : static_cast<float>(stream.uniform(i) - 0.4));
  request.checkpoint_activations = test.checkpoints;
  request.temperature = test.temperature;
  request.repetition_penalty = test.penalty;
  if (test.filters)
    for (size_t i = 0; i < tokens; ++i)
      if (request.scored[i] != 0) {
        std::vector<int32_t> kept;
        for (int32_t id = 0; id < 23; ++id)
          if (id == request.tree.ids[i] || id % 3 != 0) kept.push_back(id);
        core::append_token_set(request.kept, kept, 23);
      }
  if (test.has_values) {
    request.value_tokens = {4, 8, 15};
    request.value_targets = {0.5f, -1.0f, 2.0f};
    request.value_weights = {1.0f, 0.3f, 0.7f};
  }
  request.max_tokens_per_micro_batch = 12;
  return request;
}

std::shared_ptr<Policy> policy_on(const Case& test, const at::Device& device) {
  const auto cpu = tiny_decoder(tiny_config(test.architecture), 1, test.dtype);
  const auto decoder = device.is_cuda() ? moved(*cpu, device) : cpu;
  const core::DeviceScope scope = decoder->on_device();
  std::optional<model::Adapter> adapter;
  if (test.is_adapter)
    adapter = moved(random_adapter(cpu->config(), 2, 0.7, {"q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"}, 50), device);
  auto policy = std::make_shared<Policy>(decoder, adapter);
  if (test.has_values) policy->attach_value_head(5, 7);
  return policy;
}

struct Outcome {
  train::ScoreResult scores;
  std::vector<at::Tensor> gradients, weights;  // on the CPU
  double grad_norm = 0.0;
};

std::vector<at::Tensor> on_host(const std::vector<model::NamedSlice>& slices) {
  std::vector<at::Tensor> all;
  for (const auto& slice : slices) all.push_back(slice.view().detach().cpu().clone());
  return all;
}

// Two steps, as a training run takes them.
Outcome trained(const Case& test, const std::shared_ptr<Policy>& policy) {
  const core::DeviceScope scope = policy->decoder().on_device();
  Outcome outcome;
  for (int step = 0; step < 2; ++step) {
    train::Pass pass(policy->decoder(), request_of(test, policy), std::make_shared<core::CancelFlag>());
    while (!pass.advance()) continue;
    outcome.scores = pass.take_result();
    outcome.gradients = on_host(policy->slices(Section::kGradients));
    outcome.grad_norm = policy->step({.learning_rate = 1e-3, .max_grad_norm = 0.5}).grad_norm;
  }
  outcome.weights = on_host(policy->slices(Section::kWeights));
  return outcome;
}

void expect_same(const Case& test, const Outcome& seen, const Outcome& expected) {
  const double tolerance = test.tolerance;
  for (size_t i = 0; i < expected.scores.log_probs.size(); ++i) {
    EXPECT_NEAR(seen.scores.log_probs[i], expected.scores.log_probs[i], tolerance, test.name, " token ", i);
    EXPECT_NEAR(seen.scores.entropies[i], expected.scores.entropies[i], tolerance, test.name, " token ", i);
  }
  for (size_t i = 0; i < expected.scores.values.size(); ++i) EXPECT_NEAR(seen.scores.values[i], expected.scores.values[i], tolerance);
  EXPECT_NEAR(seen.grad_norm, expected.grad_norm, tolerance * expected.grad_norm, test.name);
  for (size_t i = 0; i < expected.gradients.size(); ++i) {
    const double size = expected.gradients[i].norm().item<double>();
    const double difference = (seen.gradients[i] - expected.gradients[i]).norm().item<double>();
    EXPECT(difference <= tolerance * (size + 1e-3), test.name, " gradient ", i, " of norm ", size, ": ", difference);
  }
  // AdamW's first steps move every weight by about the learning rate, whatever its gradient: where that is near 0 the sign may differ.
  for (size_t i = 0; i < expected.weights.size(); ++i)
    EXPECT((seen.weights[i] - expected.weights[i]).to(at::kFloat).abs().mean().item<double>() <= tolerance, test.name, " weight ", i);
}

TEST("device: two training steps on CUDA are those of the CPU") {
  const auto devices = cuda_devices();
  for (const Case& test : kCases) {
    const Outcome expected = trained(test, policy_on(test, at::kCPU));
    for (const at::Device& device : devices) expect_same(test, trained(test, policy_on(test, device)), expected);
  }
}

TEST("device: models with streams of their own and pinned memory train the same") {
  const Switch streams("MAGRPO_CUDA_STREAMS"), pinned("MAGRPO_CUDA_PINNED");
  const auto devices = cuda_devices();
  for (const Case& test : kCases) {
    const Outcome expected = trained(test, policy_on(test, at::kCPU));
    for (const at::Device& device : devices) expect_same(test, trained(test, policy_on(test, device)), expected);
  }
}

TEST("device: a model with a stream of its own is freed once its work is done") {
  const Switch streams("MAGRPO_CUDA_STREAMS");
  for (const at::Device& device : cuda_devices()) {
    {
      const auto decoder = moved(*tiny_decoder(tiny_config(), 1), device);
      const core::DeviceScope scope = decoder->on_device();
      decoder->logits(at::zeros({1, 12}, at::TensorOptions().device(device)));
    }
    // The software device throws here what it found when the weights were freed.
    EXPECT(at::zeros({1}, at::TensorOptions().device(device)).item<float>() == 0.0f);
  }
}

TEST("device: policies on two devices train side by side") {
  const auto devices = cuda_devices();
  if (devices.size() < 2) return;
  const Case &full = kCases[0], &adapter = kCases[2];
  Outcome first, second;
  std::string error;
  std::thread other([&] {
    try {
      second = trained(adapter, policy_on(adapter, devices[1]));
    } catch (const std::exception& thrown) {
      error = thrown.what();
    }
  });
  std::string own_error;
  try {
    first = trained(full, policy_on(full, devices[0]));
  } catch (const std::exception& thrown) {
    own_error = thrown.what();
  }
  other.join();
  EXPECT(own_error.empty(), own_error);
  EXPECT(error.empty(), error);
  expect_same(full, first, trained(full, policy_on(full, at::kCPU)));
  expect_same(adapter, second, trained(adapter, policy_on(adapter, at::kCPU)));
}

// Offsets of the tensors of a file without a header.
std::vector<model::TensorSource> sources_of(const std::vector<model::NamedSlice>& slices, const std::string& file) {
  std::vector<model::TensorSource> sources;
  int64_t begin = 0;
  for (const auto& slice : slices) {
    const at::Tensor view = slice.view();
    sources.push_back({slice.name, file, view.scalar_type(), view.sizes().vec(), begin});
    begin += static_cast<int64_t>(view.nbytes());
  }
  return sources;
}

TEST("device: a checkpoint written on CUDA goes on there and on the CPU") {
  const std::string file = std::filesystem::temp_directory_path() / ("magrpo-device-test-" + std::to_string(::getpid()));
  const Case& test = kCases[2];
  for (const at::Device& device : cuda_devices()) {
    const auto policy = policy_on(test, device);
    trained(test, policy);
    std::vector<std::shared_ptr<Policy>> resumed{policy_on(test, at::kCPU), policy_on(test, device)};
    for (const Section section : {Section::kWeights, Section::kOptimizer}) {
      const core::DeviceScope scope = policy->decoder().on_device();
      model::write_tensors(file, "", policy->slices(section));
      for (const auto& copy : resumed) {
        const core::DeviceScope copy_scope = copy->decoder().on_device();
        copy->read(section, sources_of(policy->slices(section), file), nullptr);
      }
    }
    const Outcome expected = trained(test, policy);
    for (const auto& copy : resumed) expect_same(test, trained(test, copy), expected);
  }
  std::filesystem::remove(file);
}

TEST("device: memory in use is counted, and what there is not is refused") {
  for (const at::Device& device : cuda_devices()) {
    const core::DeviceScope scope(device);
    const std::string name = device.str();
    const core::DeviceMemory before = core::device_memory(name);
    const at::Tensor held = random({1 << 20}, 1).to(device);
    const core::DeviceMemory with = core::device_memory(name);
    EXPECT(with.held_bytes - before.held_bytes >= 4 << 20 && with.held_bytes - before.held_bytes < 8 << 20);
    EXPECT(before.free_bytes - with.free_bytes >= 4 << 20);
    bool is_refused = false;
    try {
      at::empty({with.free_bytes}, at::TensorOptions().dtype(at::kFloat).device(device));
    } catch (const c10::OutOfMemoryError&) {
      is_refused = true;
    }
    EXPECT(is_refused);
  }
}

}  // namespace
}  // namespace magrpo::test
