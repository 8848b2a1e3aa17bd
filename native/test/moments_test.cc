// Moments in 8 bits and bfloat16: what they are rounded to, that they follow the gradient, and that threads change nothing.
#include "train/moments.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "test/harness.h"
#include "test/tiny_decoder.h"
#include "train/optimizer.h"

namespace magrpo::train {
namespace {

using test::random;

constexpr MomentKind kSmallKinds[]{MomentKind::kBFloat16, MomentKind::kInt8};

// Moments become the gradient and its square alone: beta is 0.
MomentStep forgetful(uint32_t step = 1) { return {.beta1 = 0, .beta2 = 0, .rate = 0, .root = 1, .epsilon = 1, .decay = 0, .step = step}; }

std::vector<double> numbers(const at::Tensor& x) {
  const at::Tensor flat = x.to(at::kDouble).contiguous().view({-1});
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

// Moments as float32.
Moments as_floats(const Moments& moments) {
  const Moments result = Moments::zeros_for(moments.first, MomentKind::kFloat32);
  convert(moments, result, {});
  return result;
}

// Numbers of many magnitudes, with zeros among them.
at::Tensor wide(int64_t size, uint64_t seed) {
  const at::Tensor x = random({size}, seed);
  return at::where(random({size}, seed + 1) > 1.5, 0.0, x * (random({size}, seed + 2) * 3).exp()).to(at::kFloat).contiguous();
}

// The dynamic map as the paper tells it: an exponent of ten, then a fraction between 0.1 and 1 in linear steps; and 0 and 1.
std::vector<double> naive_map(bool is_signed) {
  std::vector<double> map{0.0, 1.0};
  for (int exponent = 0; exponent < 7; ++exponent) {
    const int parts = (is_signed ? 1 : 2) << exponent;
    for (int part = 0; part < parts; ++part) {
      const double low = 0.1 + 0.9 * part / parts, high = 0.1 + 0.9 * (part + 1) / parts;
      const double number = std::pow(10.0, exponent - 6) * (low + high) / 2.0;
      map.push_back(number);
      if (is_signed) map.push_back(-number);
    }
  }
  std::sort(map.begin(), map.end());
  return map;
}

// A stack of two named tensors in one, as q and k are.
Optimizer optimizer_of(const at::Tensor& weights) {
  Optimizer optimizer;
  const int64_t half = weights.size(0) / 2;
  optimizer.add({{"a", weights, 0, half}, {"b", weights, half, weights.size(0) - half}});
  return optimizer;
}

StepOptions options_of(MomentKind kind) {
  StepOptions options;
  options.learning_rate = 0.01;
  options.moments = kind;
  return options;
}

}  // namespace

TEST("moments: 8 bits are the codes of the dynamic map, nearest for the first moment, one of both beside it for the second") {
  for (const int64_t size : {256, 1000, 256 * 40 + 1}) {
    const at::Tensor gradient = wide(size, 5), weights = at::zeros({size});
    const Moments moments = Moments::zeros_for(weights, MomentKind::kInt8);
    step_tensor(weights, gradient, moments, forgetful());
    EXPECT(moments.first_scales.numel() == (size + 255) / 256 && moments.second_scales.numel() == (size + 255) / 256);
    const auto map1 = naive_map(true), map2 = naive_map(false);
    EXPECT(map1.size() == 256 && map2.size() == 256);
    const Moments decoded = as_floats(moments);
    const auto g = numbers(gradient), m = numbers(decoded.first), v = numbers(decoded.second);
    int64_t wrong = 0;
    for (int64_t begin = 0; begin < size; begin += 256) {
      const int64_t end = std::min(size, begin + 256);
      double most = 0.0;
      for (int64_t i = begin; i < end; ++i) most = std::max(most, std::abs(g[i]));
      for (int64_t i = begin; i < end; ++i) {
        double distance = INFINITY;
        for (const double number : map1) distance = std::min(distance, std::abs(-g[i] - number * most));
        wrong += !(std::abs(std::abs(-g[i] - m[i]) - distance) <= 1e-6 * most);
        // The second: the neighbours of the exact number, but never 0 for another.
        const double square = g[i] * g[i] / (most * most);
        const size_t above = std::upper_bound(map2.begin(), map2.end(), square * (1 - 1e-6)) - map2.begin();
        const double low = above == 0 ? 0.0 : map2[above - 1], high = map2[std::min<size_t>(above, 255)];
        const double stored = v[i] / (most * most), slack = 1e-6 * (high + 1e-6);
        wrong += g[i] == 0.0 ? v[i] != 0.0 : !(v[i] > 0.0 && (std::abs(stored - low) <= slack || std::abs(stored - high) <= slack));
      }
    }
    EXPECT(wrong == 0, wrong, " of ", size);
  }
}

TEST("moments: rounding at random is right on average, and each step has bits of its own") {
  const int64_t size = 256 * 64;
  const at::Tensor gradient = random({size}, 3);
  for (const auto kind : kSmallKinds) {
    at::Tensor mean = at::zeros({size}, at::kDouble);
    constexpr int kSteps = 400;
    for (uint32_t step = 1; step <= kSteps; ++step) {
      const at::Tensor weights = at::zeros({size});
      const Moments moments = Moments::zeros_for(weights, kind);
      step_tensor(weights, gradient, moments, forgetful(step));
      mean += as_floats(moments).second / kSteps;
    }
    const at::Tensor square = gradient.to(at::kDouble).square();
    // Small ones have few codes below them, and none is 0.
    const at::Tensor error = (mean / square - 1).index({square > 1e-3});
    EXPECT(std::abs(error.mean().item<double>()) < 1e-3, error.mean().item<double>());
    EXPECT(error.abs().max().item<double>() < 0.1, error.abs().max().item<double>());
  }
}

TEST("moments: what is composed of libtorch's operations, for other devices, is what the loops do") {
  for (const auto kind : kSmallKinds)
    for (const int64_t size : {100, 256 * 33, 5000}) {
      const at::Tensor weights = random({size}, 1), composed_weights = weights.clone();
      const Moments moments = Moments::zeros_for(weights, kind), composed = Moments::zeros_for(weights, kind);
      for (uint32_t t = 1; t <= 4; ++t) {
        const MomentStep step{.beta1 = 0.9, .beta2 = 0.99, .rate = 0.1, .root = 2, .epsilon = 1e-8, .decay = 0.01, .step = t, .tensor = 7};
        step_tensor(weights, wide(size, 10 * t), moments, step);
        step_tensor_composed(composed_weights, wide(size, 10 * t), composed, step);
      }
      const Moments own = as_floats(moments), other = as_floats(composed);
      for (const auto member : {&Moments::first, &Moments::second}) {
        // A sum that is rounded otherwise may take another code.
        const at::Tensor differs = (own.*member - other.*member).abs() > 1e-5 * (own.*member).abs();
        EXPECT(differs.sum().item<int64_t>() <= size / 500, differs.sum().item<int64_t>(), " of ", size);
      }
      const at::Tensor far = (weights - composed_weights).abs() > 1e-4;
      EXPECT(far.sum().item<int64_t>() <= size / 500, far.sum().item<int64_t>(), " of ", size);
    }
}

TEST("moments: after 3,000 steps of a gradient of 1, 10,000 of 0.1 bring the second moment down") {
  const double beta2 = 0.999;
  double exact = 0.0, still = 0.0;
  for (int t = 0; t < 13000; ++t) exact = beta2 * exact + (1 - beta2) * (t < 3000 ? 1.0 : 0.01), still = beta2 * still + (1 - beta2);
  for (const auto kind : kSmallKinds)
    for (const bool together : {true, false}) {
      // Of all numbers, or of every second one: these share a block with others that stay large.
      const at::Tensor weights = at::zeros({512}), before = at::full({512}, 1.0f), after = before.clone();
      for (int64_t i = 0; i < 512; i += together ? 1 : 2) after.mutable_data_ptr<float>()[i] = 0.1f;
      const Moments moments = Moments::zeros_for(weights, kind);
      for (uint32_t t = 1; t <= 13000; ++t)
        step_tensor(weights, t <= 3000 ? before : after, moments,
                    {.beta1 = 0.9, .beta2 = static_cast<float>(beta2), .rate = 0, .root = 1, .epsilon = 1, .decay = 0, .step = t});
      const auto v = numbers(as_floats(moments).second);
      double sum = 0.0;
      for (size_t i = 0; i < 512; ++i) {
        const bool falls = after.const_data_ptr<float>()[i] < 1.0f;
        if (falls) sum += v[i];
        if (together || !falls) EXPECT_NEAR(v[i], falls ? exact : still, 0.05 * (falls ? exact : still), i);
      }
      EXPECT_NEAR(sum / (together ? 512 : 256), exact, 0.05 * exact, "together: ", together);
    }
}

TEST("optimizer: any number of threads gives the same bytes, for moments of each kind") {
  for (const auto kind : {MomentKind::kFloat32, MomentKind::kBFloat16, MomentKind::kInt8}) {
    std::vector<std::vector<at::Tensor>> states;
    for (const int threads : {1, 2, 3}) {
      at::set_num_threads(threads);
      const at::Tensor weights = random({64, 1027}, 1);
      Optimizer optimizer = optimizer_of(weights);
      for (uint64_t t = 0; t < 3; ++t) optimizer.step({random({64, 1027}, 20 + t)}, options_of(kind));
      auto& state = states.emplace_back(std::vector<at::Tensor>{weights});
      for (const auto& slice : optimizer.slices()) state.push_back(slice.view().clone());
    }
    at::set_num_threads(1);
    for (size_t i = 0; i < states[0].size(); ++i)
      EXPECT(states[1][i].equal(states[0][i]) && states[2][i].equal(states[0][i]), "tensor ", i, " of kind ", static_cast<int>(kind));
  }
}

TEST("optimizer: what is described is what is saved, before the first step and after it, for moments of each kind") {
  for (const auto kind : {MomentKind::kFloat32, MomentKind::kBFloat16, MomentKind::kInt8})
    for (const int64_t width : {7, 1000}) {
      Optimizer optimizer = optimizer_of(random({12, width}, 1));
      for (int steps = 0; steps < 2; ++steps) {
        const auto infos = optimizer.describe();
        const auto slices = optimizer.slices();
        EXPECT(infos.size() == slices.size());
        for (size_t i = 0; i < slices.size(); ++i)
          EXPECT(infos[i].name == slices[i].name && infos[i].dtype == slices[i].view().scalar_type() &&
                     at::IntArrayRef(infos[i].shape) == slices[i].view().sizes(),
                 slices[i].name);
        // Tensors below 4,096 numbers are not worth their scales.
        const bool is_coded = steps == 1 && kind == MomentKind::kInt8 && width == 1000;
        EXPECT(slices.size() == (is_coded ? 9u : 5u), slices.size());
        optimizer.step({random({12, width}, 2)}, options_of(kind));
      }
    }
}

TEST("optimizer: moments of another kind are converted, and steps go on from them") {
  const auto run = [](const std::vector<MomentKind>& kinds) {
    const at::Tensor weights = random({32, 300}, 1);
    Optimizer optimizer = optimizer_of(weights);
    for (size_t t = 0; t < kinds.size(); ++t) optimizer.step({random({32, 300}, 30 + t)}, options_of(kinds[t]));
    return weights;
  };
  const auto k32 = MomentKind::kFloat32, k16 = MomentKind::kBFloat16, k8 = MomentKind::kInt8;
  const at::Tensor exact = run({k32, k32, k32, k32, k32, k32}), start = random({32, 300}, 1);
  for (const auto& kinds : std::vector<std::vector<MomentKind>>{
           {k16, k16, k16, k16, k16, k16}, {k8, k8, k8, k8, k8, k8}, {k32, k8, k8, k16, k32, k8}, {k8, k16, k32, k32, k16, k16}}) {
    const double error = ((run(kinds) - exact).norm() / (exact - start).norm()).item<double>();
    EXPECT(error < 0.05, error);
    EXPECT(error > 0.0);
  }
  // A step uses what it computed, not what it keeps.
  for (const auto kind : kSmallKinds) EXPECT(test::largest_difference(run({kind}), run({k32})) < 1e-6);
  // Through 16 bits and back is what 16 bits keep.
  const Moments wide_moments{random({5000}, 1), random({5000}, 2).abs(), {}, {}};
  for (const auto kind : kSmallKinds) {
    const Moments narrow = Moments::zeros_for(wide_moments.first, kind);
    convert(wide_moments, narrow, {});
    const Moments again = Moments::zeros_for(wide_moments.first, kind);
    convert(as_floats(narrow), again, {.step = 9});
    const Moments before = as_floats(narrow), after = as_floats(again);
    EXPECT(after.second.equal(before.second));
    // The map of the first moment has 1 and no -1: a block whose largest number is negative shrinks a little.
    EXPECT(test::largest_difference(after.first, before.first) <
           (kind == MomentKind::kInt8 ? 0.03 : 1e-9) * before.first.abs().max().item<double>());
  }
}

}  // namespace magrpo::train
