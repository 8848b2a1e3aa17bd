// Tokens drawn on the logits' device, and their copy to the host.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "rollout/sampler.h"

namespace c10 {
struct Event;
}

namespace magrpo::rollout {

// Whether the device can draw with these settings; if not, the logits are copied to the host for choose_token.
bool supports_device_sampling(const Sampling& sampling);

class DrawnTokens {
 public:
  // Queues the draw of one token per row of logits (N, V), float32: the token of choose_token, up to rounding. `uniforms`: (N).
  DrawnTokens(const at::Tensor& logits, const Sampling& sampling, const std::vector<double>& uniforms);

  // (N) int32 on the logits' device.
  at::Tensor tokens() const { return results_[0]; }

  // Appends them to `choices`. Blocks until they are copied; with pinned memory (device_cuda.h) not for work queued after them. Log-probs
  // are NaN where logits are not finite: finished rows may be in the batch, and their result is discarded.
  void read(std::vector<Choice>& choices) const;

 private:
  // (3 or 5, N) int32: tokens, log-probs and entropies, and the model's where they differ; one tensor, so that one copy suffices.
  at::Tensor results_;
  at::Tensor host_;  // the copy, if queued
  std::shared_ptr<c10::Event> copied_;
};

}  // namespace magrpo::rollout
