// One pass over a token tree: computes log-probabilities and, for training, adds their weighted gradients to the policies.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/cancel.h"
#include "core/token_tree.h"
#include "train/policy.h"
#include "train/policy_loss.h"

namespace magrpo::train {

struct PassRequest {
  core::TokenTree tree;
  std::vector<std::shared_ptr<Policy>> policies;
  std::vector<uint8_t> scored;  // (N) 1: compute the token's log-probability; a root's first token has none
  // What the sampler did to logits: all scores are of the distribution it drew from. `kept` holds a set per scored token, in order, by
  // core::append_token_set; empty where no filter was on.
  double temperature = 1.0;
  double repetition_penalty = 1.0;
  std::vector<uint8_t> kept;
  std::vector<float> weights;   // (N) for gradients; empty: scores only
  LossSettings loss;
  std::vector<float> old_log_probs;        // (N) where loss.clip
  std::vector<float> reference_log_probs;  // (N) where loss.kl
  std::vector<float> penalties;            // (N) where loss.has_penalty()
  // Values read from the hidden states of these tokens by the value heads of their policies.
  std::vector<int32_t> value_tokens;  // (U) indices into the tree's tokens
  std::vector<float> value_targets;   // (U) or empty
  std::vector<float> value_weights;   // (U) or empty: - Σ weight (target - V)² is added to the objective
  int64_t max_tokens_per_micro_batch = 0;
  bool checkpoint_activations = false;  // keep only each layer's input; recompute the layer in the backward pass
};

struct ScoreResult {
  std::vector<float> log_probs;  // (N) natural, 0 where not scored
  std::vector<float> entropies;  // (N) nats, 0 where not scored
  std::vector<float> values;     // (U)
  double seconds = 0.0;
};

// A pass in progress, advanced one micro-batch at a time. Micro-batches are split between roots, so a prompt is computed once for all of
// its completions, and a token's weight never depends on the split. Call on the executor thread only.
// The accumulated gradient is that of Σ wᵢ·log π(tokenᵢ) (Eq. 2 of Liu et al., AAAI 2026, with wᵢ = A / divisor), or of the objective of
// train/policy_loss.h, plus the value terms.
class Pass {
 public:
  Pass(const model::Decoder& decoder, PassRequest request, core::CancelFlagPtr cancel);

  // Computes one micro-batch. Returns true when all are done.
  bool advance();

  ScoreResult take_result() { return std::move(result_); }

 private:
  void check_request() const;
  // Reads `kept`; throws ERR_ARGUMENT unless it holds a set per scored token with the token in it.
  void read_kept();
  // What shaped the logits of these scored tokens of these segments; null where nothing did.
  c10::intrusive_ptr<DrawnFrom> drawn_from(const std::vector<int64_t>& tokens, const std::vector<int32_t>& segments) const;
  // What copies results of a micro-batch to the host.
  using Reads = std::vector<std::function<void()>>;
  // Returns `objective` plus the value terms of a micro-batch; `reads` fill in the values.
  at::Tensor add_value_terms(at::Tensor objective, const at::Tensor& hidden, const std::vector<int64_t>& row_of_token, int64_t begin,
                             int64_t end, bool wants_gradient, Reads& reads);

  const model::Decoder& decoder_;
  PassRequest request_;
  core::CancelFlagPtr cancel_;
  std::vector<const model::Adapter*> adapters_;
  std::vector<std::vector<int32_t>> segments_of_root_;
  std::vector<int64_t> micro_batch_ends_;
  std::vector<core::TokenSet> kept_;  // (N) or empty
  size_t next_micro_batch_ = 0;
  ScoreResult result_;
};

}  // namespace magrpo::train
