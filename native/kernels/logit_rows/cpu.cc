#include <algorithm>
#include <cmath>

#include "kernels/logit_rows/logit_rows.h"
#include "kernels/simd/dispatch.h"
#include "kernels/simd/exp.h"

namespace magrpo::kernels {
namespace {

MAGRPO_INLINE LogitMoments moments(const float* logits, int64_t n, float inverse_temperature, std::vector<float>* block_sums) {
  float highest = logits[0];
#pragma omp simd reduction(max : highest)
  for (int64_t i = 0; i < n; ++i) highest = logits[i] > highest ? logits[i] : highest;
  if (block_sums != nullptr) block_sums->resize(static_cast<size_t>((n + kLogitBlock - 1) / kLogitBlock));
  double sum = 0.0, weighted = 0.0;
  for (int64_t begin = 0; begin < n; begin += kLogitBlock) {
    const int64_t end = begin + kLogitBlock < n ? begin + kLogitBlock : n;
    float block_sum = 0.0f, block_weighted = 0.0f;
#pragma omp simd reduction(+ : block_sum, block_weighted)
    for (int64_t i = begin; i < end; ++i) {
      const float shifted = (logits[i] - highest) * inverse_temperature;
      const float e = fast_exp(shifted);
      block_sum += e;
      // A token of probability 0 adds nothing even if its logit is -inf.
      block_weighted += e > 0.0f ? e * shifted : 0.0f;
    }
    sum += block_sum;
    weighted += block_weighted;
    if (block_sums != nullptr) (*block_sums)[begin / kLogitBlock] = block_sum;
  }
  return {highest, sum, weighted};
}

MAGRPO_INLINE void gradient_in_place(float* logits, int64_t n, const LogitGradient& gradient) {
  const float log_sum = gradient.log_sum, g = gradient.d_log_prob;
  if (gradient.d_entropy == 0.0f) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) logits[i] = -g * fast_exp(logits[i] - log_sum);
  } else {
    const float entropy = gradient.entropy, h = gradient.d_entropy;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
      const float log_p = logits[i] - log_sum;
      const float p = fast_exp(log_p);
      logits[i] = p > 0.0f ? -p * (g + h * (log_p + entropy)) : 0.0f;
    }
  }
  if (gradient.target >= 0) logits[gradient.target] += g;
}

}  // namespace

LogitMoments logit_moments(const float* logits, int64_t n, float inverse_temperature, std::vector<float>* block_sums) {
  return dispatch<moments>(logits, n, inverse_temperature, block_sums);
}

LogitMoments merge(const LogitMoments& a, const LogitMoments& b) {
  LogitMoments all{std::max(a.highest, b.highest), 0.0, 0.0};
  for (const LogitMoments& part : {a, b}) {
    const double shift = static_cast<double>(part.highest) - all.highest, scale = std::exp(shift);
    all.sum += scale * part.sum;
    all.weighted += scale * (part.weighted + shift * part.sum);
  }
  return all;
}

void logit_gradient(float* logits, int64_t n, const LogitGradient& gradient) { dispatch<gradient_in_place>(logits, n, gradient); }

}  // namespace magrpo::kernels
