#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/logit_rows/logit_rows.h"

namespace magrpo::kernels {

LogitMoments logit_moments_reference(const float* logits, int64_t n, float inverse_temperature) {
  const float highest = *std::max_element(logits, logits + n);
  double sum = 0.0, weighted = 0.0;
  for (int64_t i = 0; i < n; ++i) {
    const double shifted = (static_cast<double>(logits[i]) - highest) * inverse_temperature;
    const double e = std::exp(shifted);
    sum += e;
    weighted += e > 0.0 ? e * shifted : 0.0;
  }
  return {highest, sum, weighted};
}

void logit_gradient_reference(float* logits, int64_t n, const LogitGradient& gradient) {
  for (int64_t i = 0; i < n; ++i) {
    const double log_p = static_cast<double>(logits[i]) - gradient.log_sum, p = std::exp(log_p);
    double value = i == gradient.target ? gradient.d_log_prob : 0.0;
    value -= p * gradient.d_log_prob;
    if (p > 0.0) value -= gradient.d_entropy * p * (log_p + gradient.entropy);
    logits[i] = static_cast<float>(value);
  }
}

namespace {

// What a seen token's logit is multiplied with.
double penalty_of(bool is_negative, const LogitShape& shape) { return is_negative ? shape.penalty : 1.0 / shape.penalty; }

}  // namespace

void shape_logits_reference(float* logits, int64_t n, const LogitShape& shape, const uint8_t* marks) {
  for (int64_t i = 0; i < n; ++i) {
    double logit = logits[i];
    if (marks != nullptr && (marks[i] & kSeen)) logit *= penalty_of(logit < 0.0, shape);
    logits[i] = marks != nullptr && (marks[i] & kCut) ? -std::numeric_limits<float>::infinity()
                                                      : static_cast<float>(logit * shape.inverse_temperature);
  }
}

void unshape_gradient_reference(float* gradients, int64_t n, const LogitShape& shape, const uint8_t* marks) {
  for (int64_t i = 0; i < n; ++i) {
    double factor = shape.inverse_temperature;
    if (marks != nullptr && (marks[i] & kSeen)) factor *= penalty_of(marks[i] & kNegative, shape);
    gradients[i] = static_cast<float>(gradients[i] * factor);
  }
}

}  // namespace magrpo::kernels
