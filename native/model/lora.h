// Low-rank adapters (Hu et al. 2021): y += scale · (x Aᵀ) Bᵀ beside a frozen projection.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/weights.h"

namespace magrpo::model {

// The projections an adapter may sit on, in the order of kProjectionNames.
enum Projection : int { kQuery, kKey, kValue, kOutput, kGate, kUp, kDown, kProjections };
inline constexpr std::array<const char*, kProjections> kProjectionNames{"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                                      "gate_proj", "up_proj", "down_proj"};

struct LowRank {
  at::Tensor a;  // (r, in) float32; undefined: this projection has no adapter
  at::Tensor b;  // (out, r)
};

struct Adapter {
  double scale = 1.0;
  std::vector<std::array<LowRank, kProjections>> layers;
};

// Width of a projection's output.
int64_t output_size(const Config& config, Projection projection);

// A is uniform in ±1/sqrt(in) (Kaiming, as PEFT starts it) from `seed`, B is zero: the adapter starts as the bare base.
Adapter make_adapter(const Config& config, int64_t rank, double scale, const std::vector<std::string>& targets, uint64_t seed,
                     const at::Device& device);

// Names of all tensors as PEFT saves them.
std::vector<NamedSlice> named_slices(const Adapter& adapter);

}  // namespace magrpo::model
