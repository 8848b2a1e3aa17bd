// The per-token objective that a step maximises, as a function of the sampled tokens' log-probabilities and entropies.
#pragma once

#include <ATen/core/Tensor.h>

#include "train/log_prob_head.h"

namespace magrpo::train {

// Estimators of KL(π || reference) from sampled tokens (Schulman 2020), with d = log reference - log π, as in lib/rl/credit/kl.ts:
// k1 = -d, k2 = d²/2, k3 = exp(d) - 1 - d.
enum class KlEstimator { kNone, kK1, kK2, kK3 };

struct LossSettings {
  bool clip = false;  // a clipped ratio (PPO, Schulman et al. 2017), asymmetric as in DAPO (Yu et al. 2025)
  double clip_low = 0.2;
  double clip_high = 0.2;
  KlEstimator kl = KlEstimator::kNone;
  double kl_coefficient = 0.0;
  double entropy_coefficient = 0.0;

  bool has_penalty() const { return (kl != KlEstimator::kNone && kl_coefficient != 0.0) || entropy_coefficient != 0.0; }
};

// All (M) float32, one per scored token. Undefined if the settings do not need them.
struct TokenTerms {
  at::Tensor weights;              // w = A / divisor
  at::Tensor old_log_probs;        // of the policy that sampled, for the ratio
  at::Tensor reference_log_probs;  // for KL
  at::Tensor penalties;            // u: multiplies each token's KL and entropy
};

// Σ min(ρ w, clamp(ρ, 1 - low, 1 + high) w) with ρ = exp(log π - old), or Σ w log π without clipping,
// + Σ u (entropy_coefficient · H - kl_coefficient · KL).
at::Tensor policy_objective(const TokenScores& scores, const TokenTerms& terms, const LossSettings& settings);

}  // namespace magrpo::train
