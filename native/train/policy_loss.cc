#include "train/policy_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/minimum.h>

namespace magrpo::train {
namespace {

at::Tensor kl_of(const at::Tensor& log_probs, const at::Tensor& reference, KlEstimator estimator) {
  if (estimator == KlEstimator::kK1) return log_probs - reference;  // -d
  const at::Tensor d = reference - log_probs;
  if (estimator == KlEstimator::kK2) return d.square().mul(0.5);
  return at::expm1(d) - d;
}

}  // namespace

at::Tensor policy_objective(const TokenScores& scores, const TokenTerms& terms, const LossSettings& settings) {
  at::Tensor per_token;
  if (settings.clip) {
    const at::Tensor ratio = at::exp(scores.log_probs - terms.old_log_probs);
    const at::Tensor clipped = at::clamp(ratio, 1.0 - settings.clip_low, 1.0 + settings.clip_high);
    per_token = at::minimum(ratio * terms.weights, clipped * terms.weights);
  } else {
    per_token = scores.log_probs * terms.weights;
  }
  if (settings.kl != KlEstimator::kNone && settings.kl_coefficient != 0.0)
    per_token = per_token -
                terms.penalties * kl_of(scores.log_probs, terms.reference_log_probs, settings.kl) * settings.kl_coefficient;
  if (settings.entropy_coefficient != 0.0)
    per_token = per_token + terms.penalties * scores.entropies * settings.entropy_coefficient;
  return per_token.sum();
}

}  // namespace magrpo::train
