// Chooses tokens where the logits are: on a CUDA device. Only in CUDA builds.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "rollout/sampler.h"

namespace magrpo::rollout {

// Whether the device can choose with these settings; else the logits have to be copied to the CPU for choose_token.
bool takes_device_sampler(const Sampling& sampling);

// One choice for each row of logits (N, V), float32 on a CUDA device: what choose_token gives, up to rounding. Waits for the device once.
// Throws ERR_NON_FINITE as choose_token does.
std::vector<Choice> choose_tokens(const at::Tensor& logits, const Sampling& sampling, const std::vector<double>& uniforms);

}  // namespace magrpo::rollout
