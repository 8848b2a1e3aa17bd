#include "model/lora.h"

#include <ATen/TensorOperators.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "core/errors.h"

namespace magrpo::model {
namespace {

int64_t input_size(const Config& config, Projection projection) {
  if (projection == kOutput) return config.q_size();
  return projection == kDown ? config.intermediate_size : config.hidden_size;
}

const char* block_of(int projection) { return projection <= kOutput ? "self_attn" : "mlp"; }

}  // namespace

int64_t output_size(const Config& config, Projection projection) {
  switch (projection) {
    case kQuery: return config.q_size();
    case kKey:
    case kValue: return config.kv_size();
    case kGate:
    case kUp: return config.intermediate_size;
    default: return config.hidden_size;
  }
}

Adapter make_adapter(const Config& config, int64_t rank, double scale, const std::vector<std::string>& targets, uint64_t seed,
                     const at::Device& device) {
  core::check_argument(rank > 0, "Expected a positive adapter rank but received ", rank, ".");
  core::check_argument(!targets.empty(), "Expected at least one target module for the adapter but received none.");
  for (const auto& target : targets)
    if (std::find(kProjectionNames.begin(), kProjectionNames.end(), target) == kProjectionNames.end())
      throw core::Error("ERR_ADAPTER", core::concat("Expected target modules among q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, "
                                        "down_proj but received \"", target, "\"."));
  at::Generator generator = at::detail::createCPUGenerator(seed);
  Adapter adapter;
  adapter.scale = scale;
  adapter.layers.resize(static_cast<size_t>(config.num_layers));
  for (auto& layer : adapter.layers)
    for (int p = 0; p < kProjections; ++p) {
      if (std::find(targets.begin(), targets.end(), kProjectionNames[p]) == targets.end()) continue;
      const auto projection = static_cast<Projection>(p);
      const int64_t in = input_size(config, projection);
      const double bound = 1.0 / std::sqrt(static_cast<double>(in));
      layer[p].a = at::empty({rank, in}, at::kFloat).uniform_(-bound, bound, generator).to(device);
      layer[p].b = at::zeros({output_size(config, projection), rank}, at::TensorOptions().dtype(at::kFloat).device(device));
    }
  return adapter;
}

std::vector<NamedSlice> named_slices(const Adapter& adapter) {
  std::vector<NamedSlice> slices;
  for (size_t i = 0; i < adapter.layers.size(); ++i)
    for (int p = 0; p < kProjections; ++p) {
      const LowRank& low_rank = adapter.layers[i][p];
      if (!low_rank.a.defined()) continue;
      const std::string prefix = core::concat("base_model.model.model.layers.", i, ".", block_of(p), ".", kProjectionNames[p]);
      slices.push_back({prefix + ".lora_A.weight", low_rank.a, 0, low_rank.a.size(0)});
      slices.push_back({prefix + ".lora_B.weight", low_rank.b, 0, low_rank.b.size(0)});
    }
  return slices;
}

}  // namespace magrpo::model
