// Low-rank adapters (Hu et al. 2021): y += scale · (x Aᵀ) Bᵀ beside a frozen projection.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/weights.h"

namespace magrpo::model {

struct LowRank {
  at::Tensor a;  // (r, in) float32; undefined: this projection has no adapter
  at::Tensor b;  // (out, r)
};

struct Adapter {
  const Architecture* architecture = nullptr;
  double scale = 1.0;
  std::vector<std::array<LowRank, kProjections>> layers;
};

// Width of a projection's output.
inline int64_t output_size(const Config& config, Projection projection) {
  return config.size_of(config.architecture->projections[projection].out);
}

struct AdapterSettings {
  int64_t rank = 0;
  double scale = 0.0;
  std::vector<std::string> targets;  // names of projections
  uint64_t seed = 0;
};

// A is uniform in ±1/sqrt(in) (Kaiming, as PEFT starts it) from the seed, B is zero: the adapter starts as the bare base.
Adapter make_adapter(const Config& config, const AdapterSettings& settings, const at::Device& device);

// Names of all tensors as PEFT saves them.
std::vector<NamedSlice> named_slices(const Adapter& adapter);

}  // namespace magrpo::model
