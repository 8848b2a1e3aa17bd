#include "model/lora.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "core/errors.h"

namespace magrpo::model {

Adapter make_adapter(const Config& config, const AdapterSettings& settings, const at::Device& device) {
  const auto& [rank, scale, targets, seed] = settings;
  core::check_argument(rank > 0, "Expected a positive adapter rank but received ", rank, ".");
  core::check_argument(!targets.empty(), "Expected at least one target module for the adapter but received none.");
  const auto& projections = config.architecture->projections;
  for (const auto& target : targets)
    if (std::none_of(projections.begin(), projections.end(), [&](const auto& projection) { return projection.name() == target; })) {
      std::string names;
      for (const ProjectionSpec& projection : projections) names += (names.empty() ? "" : ", ") + projection.name();
      throw core::Error("ERR_ADAPTER", "Expected target modules among ", names, " but received \"", target, "\".");
    }
  at::Generator generator = at::detail::createCPUGenerator(seed);
  Adapter adapter;
  adapter.architecture = config.architecture;
  adapter.scale = scale;
  adapter.layers.resize(static_cast<size_t>(config.num_layers));
  for (auto& layer : adapter.layers)
    for (int p = 0; p < kProjections; ++p) {
      if (std::find(targets.begin(), targets.end(), projections[p].name()) == targets.end()) continue;
      const int64_t in = config.size_of(projections[p].in), out = config.size_of(projections[p].out);
      const double bound = 1.0 / std::sqrt(static_cast<double>(in));
      layer[p].a = at::empty({rank, in}, at::kFloat).uniform_(-bound, bound, generator).to(device);
      layer[p].b = at::zeros({out, rank}, at::TensorOptions().dtype(at::kFloat).device(device));
    }
  return adapter;
}

std::vector<NamedSlice> named_slices(const Adapter& adapter) {
  std::vector<NamedSlice> slices;
  for (size_t i = 0; i < adapter.layers.size(); ++i)
    for (int p = 0; p < kProjections; ++p) {
      const LowRank& low_rank = adapter.layers[i][p];
      if (!low_rank.a.defined()) continue;
      const std::string prefix = "base_model.model." + in_layer(adapter.architecture->projections[p].tensor, i);
      slices.push_back({prefix + ".lora_A.weight", low_rank.a, 0, low_rank.a.size(0)});
      slices.push_back({prefix + ".lora_B.weight", low_rank.b, 0, low_rank.b.size(0)});
    }
  return slices;
}

}  // namespace magrpo::model
