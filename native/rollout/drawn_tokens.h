// Tokens drawn where the logits are, and on their way to the host.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "rollout/sampler.h"

namespace c10 {
struct Event;
}

namespace magrpo::rollout {

// Whether they can be drawn with these settings; else the logits have to come to the host, for choose_token.
bool draws_on_device(const Sampling& sampling);

class DrawnTokens {
 public:
  // Queues drawing a token from each row of logits (N, V), float32: what choose_token gives, up to rounding. `uniforms`: (N).
  DrawnTokens(const at::Tensor& logits, const Sampling& sampling, const std::vector<double>& uniforms);

  // (N) int32 on the logits' device.
  at::Tensor tokens() const { return results_[0]; }

  // Adds them to `choices`. Waits for them; with pinned memory (device_cuda.h) not for what was queued after them. Log-probs
  // are NaN where the logits are not finite: a row that has ended may come along, and nobody minds what it gets.
  void read(std::vector<Choice>& choices) const;

 private:
  at::Tensor results_;  // (3, N) int32: tokens, log-probs and entropies side by side, so that one copy brings them to the host
  at::Tensor here_;     // that copy, if it is on its way
  std::shared_ptr<c10::Event> arrived_;
};

}  // namespace magrpo::rollout
