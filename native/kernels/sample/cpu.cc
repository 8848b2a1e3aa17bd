#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/logit_rows/logit_rows.h"
#include "kernels/sample/sample.h"
#include "kernels/simd/exp.h"

namespace magrpo::kernels {
namespace {

// Finite in float32, and large enough that any lower logit gets probability 0.
constexpr double kMaxInverseTemperature = 1e30;

// Skips blocks before the token by their sums.
int32_t draw(const float* logits, int64_t n, float inverse, const LogitMoments& moments, const std::vector<float>& block_sums,
             double uniform) {
  double left = uniform * moments.sum;
  size_t block = 0;
  while (block + 1 < block_sums.size() && block_sums[block] <= left) left -= block_sums[block++];
  const int64_t begin = static_cast<int64_t>(block) * kLogitBlock, end = std::min(n, begin + kLogitBlock);
  int64_t last = begin;
  for (int64_t i = begin; i < end; ++i) {
    const double p = fast_exp((logits[i] - moments.highest) * inverse);
    if (p > 0.0) last = i;
    left -= p;
    if (left < 0.0) return static_cast<int32_t>(i);
  }
  return static_cast<int32_t>(last);  // rounding can leave the cumulative sum just short of 1
}

}  // namespace

void sample_rows(const SampleRows& sample, int64_t begin, int64_t end) {
  thread_local std::vector<float> block_sums;  // reused across steps
  const float inverse = static_cast<float>(std::min(sample.inverse_temperature, kMaxInverseTemperature));
  for (int64_t row = begin; row < end; ++row) {
    const float* logits = sample.logits + row * sample.stride;
    const LogitMoments raw = logit_moments(logits, sample.vocab, 1.0f, &block_sums);
    if (!std::isfinite(raw.sum)) {
      sample.tokens[row] = 0;
      sample.log_probs[row] = sample.entropies[row] = std::numeric_limits<float>::quiet_NaN();
      continue;
    }
    int32_t token;
    if (inverse == 0.0f) token = static_cast<int32_t>(std::max_element(logits, logits + sample.vocab) - logits);
    else {
      const LogitMoments scaled = inverse == 1.0f ? raw : logit_moments(logits, sample.vocab, inverse, &block_sums);
      token = draw(logits, sample.vocab, inverse, scaled, block_sums, sample.uniforms[row]);
    }
    const double log_sum = std::log(raw.sum);
    sample.tokens[row] = token;
    sample.log_probs[row] = static_cast<float>(static_cast<double>(logits[token]) - raw.highest - log_sum);
    sample.entropies[row] = static_cast<float>(log_sum - raw.weighted / raw.sum);
  }
}

}  // namespace magrpo::kernels
