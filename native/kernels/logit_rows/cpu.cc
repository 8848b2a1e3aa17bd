#include <algorithm>
#include <cmath>
#include <limits>

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

MAGRPO_INLINE void shape_in_place(float* logits, int64_t n, const LogitShape& shape, const uint8_t* marks) {
  const float inverse = shape.inverse_temperature;
  if (marks == nullptr) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) logits[i] *= inverse;
    return;
  }
  const float up = shape.penalty * inverse, down = inverse / shape.penalty;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float l = logits[i], seen = l * (l < 0.0f ? up : down), plain = l * inverse;
    const float shaped = (marks[i] & kSeen) != 0 ? seen : plain;
    logits[i] = (marks[i] & kCut) != 0 ? -std::numeric_limits<float>::infinity() : shaped;
  }
}

MAGRPO_INLINE void mark_signs(const float* logits, int64_t n, uint8_t* marks) {
  for (int64_t i = 0; i < n; ++i)
    if ((marks[i] & kSeen) != 0 && logits[i] < 0.0f) marks[i] |= kNegative;
}

MAGRPO_INLINE void unshape_in_place(float* gradients, int64_t n, const LogitShape& shape, const uint8_t* marks) {
  shape_in_place(gradients, n, {shape.inverse_temperature, 1.0f}, nullptr);
  if (marks == nullptr || shape.penalty == 1.0f) return;
  const float down = 1.0f / shape.penalty;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const float factor = (marks[i] & kNegative) != 0 ? shape.penalty : down;
    gradients[i] *= (marks[i] & kSeen) != 0 ? factor : 1.0f;
  }
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

void shape_logits(float* logits, int64_t n, const LogitShape& shape, const uint8_t* marks) {
  dispatch<shape_in_place>(logits, n, shape, marks);
}

void mark_negative(const float* logits, int64_t n, uint8_t* marks) { dispatch<mark_signs>(logits, n, marks); }

void unshape_gradient(float* gradients, int64_t n, const LogitShape& shape, const uint8_t* marks) {
  dispatch<unshape_in_place>(gradients, n, shape, marks);
}

}  // namespace magrpo::kernels
