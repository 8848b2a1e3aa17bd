// The parts of a decoder against loops in double: norm, rotary embedding, adapters.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include <numbers>
#include <vector>

#include "model/adapted_product.h"
#include "model/lora.h"
#include "model/rms_norm.h"
#include "model/rotary.h"
#include "model/swiglu.h"
#include "test/harness.h"
#include "test/tiny_decoder.h"

namespace magrpo::model {
namespace {

using test::largest_difference;
using test::random;

TEST("rms norm: x / sqrt(mean(x²) + eps) · weight, in float32 for bfloat16 too") {
  const at::Tensor x = random({3, 4, 10}, 1) * 3.0, weight = random({10}, 2);
  for (const double eps : {1e-6, 0.5}) {
    const at::Tensor out = rms_norm(x, weight, {eps});
    EXPECT(out.sizes() == x.sizes());
    const auto values = x.reshape({12, 10}), results = out.reshape({12, 10});
    for (int64_t row = 0; row < 12; ++row) {
      double squares = 0.0;
      for (int64_t i = 0; i < 10; ++i) squares += std::pow(values[row][i].item<double>(), 2);
      for (int64_t i = 0; i < 10; ++i)
        EXPECT_NEAR(results[row][i].item<double>(),
                    values[row][i].item<double>() / std::sqrt(squares / 10 + eps) * weight[i].item<double>(), 2e-6);
    }
  }
  EXPECT(largest_difference(rms_norm(x * 0.0, weight, {1e-6}), x * 0.0) == 0.0, "zeros stay zeros");
  const at::Tensor half = x.to(at::kBFloat16), half_weight = weight.to(at::kBFloat16);
  const at::Tensor normed = rms_norm(half.to(at::kFloat), at::Tensor(weight * 0.0 + 1.0), {1e-6});
  EXPECT(rms_norm(half, half_weight, {1e-6}).equal(half_weight * normed.to(at::kBFloat16)));
}

// The rule of the Llama 3.1 release.
double llama3_frequency(double frequency, const Rope& rope) {
  const double wavelength = 2.0 * std::numbers::pi / frequency, context = static_cast<double>(rope.original_max_positions);
  if (wavelength < context / rope.high_freq_factor) return frequency;
  if (wavelength > context / rope.low_freq_factor) return frequency / rope.factor;
  const double smooth = (context / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return (1.0 - smooth) * frequency / rope.factor + smooth * frequency;
}

TEST("rotary: inverse frequencies of each type") {
  const std::vector<Rope> ropes{{"default", 10000.0, 1.0, 1.0, 4.0, 0},
                                {"linear", 1e6, 4.0, 1.0, 4.0, 0},
                                {"llama3", 500000.0, 8.0, 1.0, 4.0, 8192},
                                {"llama3", 10000.0, 32.0, 2.0, 8.0, 256}};
  for (size_t r = 0; r < ropes.size(); ++r) {
    const Rope& rope = ropes[r];
    const at::Tensor frequencies = inverse_frequencies(rope, 64);
    EXPECT(frequencies.numel() == 32);
    int kept = 0, stretched = 0;
    for (int64_t i = 0; i < 32; ++i) {
      const double plain = std::pow(rope.theta, -2.0 * static_cast<double>(i) / 64);
      double expected = plain;
      if (rope.type == "linear") expected = plain / rope.factor;
      if (rope.type == "llama3") expected = llama3_frequency(plain, rope);
      kept += expected == plain ? 1 : 0;
      stretched += expected == plain / rope.factor ? 1 : 0;
      EXPECT_NEAR(frequencies[i].item<double>(), expected, 2e-6 * expected, "rope ", r, " pair ", i);
    }
    EXPECT(rope.type != "llama3" || (kept > 0 && stretched > 0 && kept + stretched < 32), "all three kinds of wavelength occur");
  }
}

TEST("rotary: just inside and just outside of llama3's two bounds") {
  // One pair of wavelength 2 pi, and contexts that put it on either side of the long and of the short bound.
  for (const double bound : {1.0, 4.0}) {
    Rope rope{"llama3", 10000.0, 8.0, 1.0, 4.0, 0};
    const auto below = static_cast<int64_t>(2.0 * std::numbers::pi * bound);
    for (const int64_t context : {below, below + 1}) {
      rope.original_max_positions = context;
      EXPECT_NEAR(inverse_frequencies(rope, 2).item<double>(), llama3_frequency(1.0, rope), 1e-6, "context ", context);
    }
  }
}

TEST("rotary: turns the pairs (d, d + D/2) by position times frequency") {
  const Rope rope{"default", 100.0, 1.0, 1.0, 4.0, 0};
  const at::Tensor positions = at::Tensor(random({3}, 1) * 0.0).to(at::kLong);
  const std::vector<int64_t> places{0, 7, 3000};
  for (size_t i = 0; i < places.size(); ++i) positions[static_cast<int64_t>(i)] = places[i];
  const at::Tensor frequencies = inverse_frequencies(rope, 6);
  const at::Tensor x = random({3, 2, 6}, 3);
  const at::Tensor turned = rotate(x, rotation(frequencies, positions));
  EXPECT(turned.sizes() == x.sizes());
  for (int64_t n = 0; n < 3; ++n)
    for (int64_t h = 0; h < 2; ++h)
      for (int64_t d = 0; d < 3; ++d) {
        const double angle = static_cast<double>(places[n]) * std::pow(100.0, -2.0 * static_cast<double>(d) / 6);
        const double a = x[n][h][d].item<double>(), b = x[n][h][d + 3].item<double>();
        // Angles are float32, as they are in the models' own code: 3000 radians are known to 1e-4.
        const double tolerance = 1e-6 + 2e-7 * static_cast<double>(places[n]);
        EXPECT_NEAR(turned[n][h][d].item<double>(), a * std::cos(angle) - b * std::sin(angle), tolerance, "position ", places[n]);
        EXPECT_NEAR(turned[n][h][d + 3].item<double>(), b * std::cos(angle) + a * std::sin(angle), tolerance, "position ", places[n]);
      }
}

// Four bands of rows: the bare base, a policy with an adapter on q and v, one on all of q, k, v, and full weights.
PackedBatch banded_batch() {
  PackedBatch batch;
  batch.policies = {{-1, 0, 2}, {0, 2, 5}, {1, 5, 6}, {2, 6, 8}};
  return batch;
}

// Tensors in the order of a layer's adapters, A before B; `of` may copy them.
template <class Of>
std::vector<at::Tensor> low_ranks_of(const std::vector<const Adapter*>& adapters, const Of& of) {
  std::vector<at::Tensor> found;
  for (const Adapter* adapter : adapters)
    for (int p = 0; adapter != nullptr && p < kProjections; ++p)
      if (const LowRank& low_rank = adapter->layers[1][p]; low_rank.a.defined())
        found.insert(found.end(), {of(low_rank.a), of(low_rank.b)});
  return found;
}

TEST("adapters: each policy's rows get its own product and gradients, beside a frozen weight, a trained one or without a graph") {
  const Config config = test::tiny_config();
  const Adapter partial = test::random_adapter(config, 3, 0.5, {"q_proj", "v_proj", "o_proj", "down_proj"}, 1);
  const Adapter whole = test::random_adapter(config, 2, 2.0, {"q_proj", "k_proj", "v_proj", "gate_proj"}, 2);
  const std::vector<const Adapter*> adapters{&partial, &whole, nullptr};
  const PackedBatch batch = banded_batch();
  const auto wants = [](const at::Tensor& x) { return at::Tensor(x).set_requires_grad(true); };
  const auto in_double = [](const at::Tensor& x) { return x.detach().to(at::kDouble).set_requires_grad(true); };
  low_ranks_of(adapters, wants);
  struct Product {
    std::vector<Projection> projections;
    int64_t input;
  };
  for (const auto& [projections, input] : {Product{{kQuery, kKey, kValue}, config.hidden_size}, Product{{kOutput}, config.q_size()},
                                           Product{{kGate, kUp}, config.hidden_size}, Product{{kDown}, config.intermediate_size}}) {
    int64_t width = 0;
    for (const auto p : projections) width += output_size(config, p);
    const at::Tensor x = wants(random({8, input}, 3)), weight = random({width, input}, 4), bias = random({width}, 5);
    const at::Tensor out_weights = random({8, width}, 6);
    // The same in double, a policy at a time.
    const at::Tensor exact_x = in_double(x), exact_weight = in_double(weight);
    const auto exact = low_ranks_of(adapters, in_double);
    std::vector<at::Tensor> rows;
    for (const auto& range : batch.policies) {
      const at::Tensor part = exact_x.narrow(0, range.begin, range.end - range.begin);
      std::vector<at::Tensor> columns;
      int64_t column = 0;
      for (const auto p : projections) {
        const int64_t size = output_size(config, p);
        const at::Tensor base = part.matmul(exact_weight.narrow(0, column, size).t()) + bias.narrow(0, column, size);
        column += size;
        size_t index = 0;
        at::Tensor added;
        for (int32_t policy = 0; policy < 2; ++policy)
          for (int q = 0; q < kProjections; ++q) {
            if (!adapters[policy]->layers[1][q].a.defined()) continue;
            if (policy == range.policy && q == p)
              added = part.matmul(exact[index].t()).matmul(exact[index + 1].t()) * adapters[policy]->scale;
            index += 2;
          }
        columns.push_back(added.defined() ? base + added : base);
      }
      rows.push_back(at::cat(columns, 1));
    }
    const at::Tensor expected = at::cat(rows, 0);
    (expected * out_weights).sum().backward();
    {
      at::NoGradGuard no_grad;
      const at::Tensor y = adapted_product(config, adapters, batch, 1, projections, ProductInput::plain(x), weight, bias);
      EXPECT(largest_difference(y, expected) < 1e-5, "no graph, width ", width);
    }
    for (const bool is_frozen : {true, false}) {
      at::AutoGradMode grad_mode(true);
      const at::Tensor used = weight.clone().set_requires_grad(!is_frozen);
      const at::Tensor y = adapted_product(config, adapters, batch, 1, projections, ProductInput::plain(x), used, bias);
      EXPECT(largest_difference(y, expected) < 1e-5, "frozen ", is_frozen, ", width ", width);
      x.mutable_grad() = at::Tensor();
      const auto low_ranks = low_ranks_of(adapters, [](const at::Tensor& low_rank) {
        low_rank.mutable_grad() = at::Tensor();
        return low_rank;
      });
      (y * out_weights).sum().backward();
      EXPECT(largest_difference(x.grad(), exact_x.grad()) < 1e-5, "frozen ", is_frozen, ", width ", width);
      if (!is_frozen) EXPECT(largest_difference(used.grad(), exact_weight.grad()) < 1e-5, "width ", width);
      for (size_t i = 0; i < exact.size(); ++i) {
        EXPECT(low_ranks[i].grad().defined() == exact[i].grad().defined(), "frozen ", is_frozen, ", tensor ", i);
        if (exact[i].grad().defined())
          EXPECT(largest_difference(low_ranks[i].grad(), exact[i].grad()) < 1e-5, "frozen ", is_frozen, ", tensor ", i);
      }
    }
  }
}

TEST("adapters: one that is not trained gets no gradient and lets that of its input through") {
  const Config config = test::tiny_config();
  const Adapter frozen = test::random_adapter(config, 3, 0.5, {"q_proj", "k_proj"}, 1);
  const std::vector<const Adapter*> adapters{&frozen, nullptr, nullptr};
  const at::Tensor x = random({8, config.hidden_size}, 3).set_requires_grad(true);
  const at::Tensor weight = random({config.q_size() + 2 * config.kv_size(), config.hidden_size}, 4);
  adapted_product(config, adapters, banded_batch(), 1, {kQuery, kKey, kValue}, ProductInput::plain(x), weight, at::Tensor())
      .sum()
      .backward();
  at::Tensor all = weight.clone();
  for (const auto& [p, column] : {std::pair{kQuery, int64_t{0}}, std::pair{kKey, config.q_size()}})
    all.narrow(0, column, output_size(config, p)).add_(frozen.layers[1][p].b.mm(frozen.layers[1][p].a) * 0.5);
  EXPECT(largest_difference(x.grad()[3], all.sum(0)) < 1e-5 && largest_difference(x.grad()[0], weight.sum(0)) < 1e-5);
  EXPECT(!frozen.layers[1][kQuery].a.grad().defined());
}

TEST("adapters: a fresh one changes nothing, is a function of its seed and has PEFT's names") {
  const Config config = test::tiny_config();
  const std::vector<std::string> targets{"q_proj", "down_proj"};
  const Adapter first = make_adapter(config, {2, 1.0, targets, 7}, at::kCPU);
  const Adapter again = make_adapter(config, {2, 1.0, targets, 7}, at::kCPU);
  const Adapter other = make_adapter(config, {2, 1.0, targets, 8}, at::kCPU);
  const LowRank &low_rank = first.layers[1][kDown], &same = again.layers[1][kDown];
  EXPECT(low_rank.a.equal(same.a) && !low_rank.a.equal(other.layers[1][kDown].a));
  EXPECT(low_rank.a.sizes() == at::IntArrayRef({2, config.intermediate_size}));
  EXPECT(low_rank.b.sizes() == at::IntArrayRef({config.hidden_size, 2}));
  EXPECT(low_rank.b.count_nonzero().item<int64_t>() == 0);
  const double bound = 1.0 / std::sqrt(static_cast<double>(config.intermediate_size));
  const double largest = low_rank.a.abs().max().item<double>();
  EXPECT(largest <= bound && largest > bound / 2);
  EXPECT(!first.layers[0][kKey].a.defined());
  const auto names = named_slices(first);
  EXPECT(names.size() == 8 && names[2].name == "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight");
  EXPECT_THROWS("ERR_ADAPTER", make_adapter(config, {2, 1.0, {"embed_tokens"}, 7}, at::kCPU));
  EXPECT_THROWS("ERR_ARGUMENT", make_adapter(config, {0, 1.0, targets, 7}, at::kCPU));
  EXPECT_THROWS("ERR_ARGUMENT", make_adapter(config, {2, 1.0, {}, 7}, at::kCPU));
}

TEST("config: numbers that do not fit together are refused") {
  const auto broken = [](auto change) {
    Config config = test::tiny_config();
    change(config);
    return config;
  };
  test::tiny_config().check();
  EXPECT_THROWS("ERR_MODEL_FORMAT", broken([](Config& c) { c.vocab_size = 0; }).check());
  EXPECT_THROWS("ERR_MODEL_FORMAT", broken([](Config& c) { c.num_kv_heads = 3; }).check());
  EXPECT_THROWS("ERR_MODEL_FORMAT", broken([](Config& c) { c.head_dim = 5; }).check());
  EXPECT_THROWS("ERR_MODEL_FORMAT", broken([](Config& c) { c.sliding_windows.pop_back(); }).check());
  EXPECT_THROWS("ERR_MODEL_FORMAT", broken([](Config& c) { c.ropes[0].type = "yarn"; }).check());
}

TEST("operations: the model's operations differentiate as what they are composed of") {
  const auto gradients = [](const auto& work, std::vector<at::Tensor> inputs, at::ScalarType type) {
    for (auto& input : inputs) input = input.to(type).detach().requires_grad_(true);
    const at::Tensor y = work(inputs);
    (y * random(y.sizes(), 9).to(type)).sum().backward();
    std::vector<at::Tensor> result{y.detach()};
    for (const auto& input : inputs) result.push_back(input.grad());
    return result;
  };
  const auto check = [&](const char* name, const auto& work, const std::vector<at::Tensor>& inputs) {
    const auto seen = gradients(work, inputs, at::kFloat), expected = gradients(work, inputs, at::kDouble);
    for (size_t i = 0; i < seen.size(); ++i) EXPECT(largest_difference(seen[i], expected[i]) < 1e-5, name, " ", i);
  };
  using Inputs = std::vector<at::Tensor>;
  check("norm of strided heads", [](const Inputs& x) { return rms_norm(x[0].narrow(1, 3, 12).view({150, 2, 6}), x[1], {1e-5}); },
        {random({150, 18}, 1), random({6}, 2)});
  check("norm", [](const Inputs& x) { return rms_norm(x[0], x[1], {1e-5}); }, {random({3, 24}, 3), random({24}, 4)});
  const Rotation rotation{random({5, 1, 4}, 5).cos(), random({5, 1, 4}, 5).sin()};
  check("rotation", [&](const Inputs& x) { return rotate(x[0].narrow(1, 1, 16).view({5, 2, 8}), rotation); }, {random({5, 20}, 6)});
  check("gate", [](const Inputs& x) { return gated(Activation::silu, x[0]); }, {random({9, 14}, 7)});
  check("gate of gelu", [](const Inputs& x) { return gated(Activation::gelu_tanh, x[0]); }, {random({9, 14}, 8)});
  check("norm with an offset", [](const Inputs& x) { return rms_norm(x[0], x[1], {1e-5, 1.0}); }, {random({3, 24}, 3), random({24}, 4)});
}

}  // namespace
}  // namespace magrpo::model
