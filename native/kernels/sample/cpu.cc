#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>
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

// Log-probability of a token whose logit is given, and the entropy, of the distribution that has these moments.
std::pair<float, float> scores_of(const LogitMoments& moments, float logit, double inverse) {
  const double log_sum = std::log(moments.sum);
  return {static_cast<float>((static_cast<double>(logit) - moments.highest) * inverse - log_sum),
          static_cast<float>(log_sum - moments.weighted / moments.sum)};
}

}  // namespace

void sample_rows(const SampleRows& sample, int64_t begin, int64_t end) {
  thread_local std::vector<float> block_sums;  // reused across steps
  const float inverse = static_cast<float>(std::min(sample.inverse_temperature, kMaxInverseTemperature));
  for (int64_t row = begin; row < end; ++row) {
    const float* logits = sample.logits + row * sample.stride;
    LogitMoments raw = logit_moments(logits, sample.vocab, 1.0f, &block_sums);
    if (!std::isfinite(raw.sum)) raw.sum = std::numeric_limits<double>::quiet_NaN();
    LogitMoments drawn = raw;
    int32_t token = 0;  // where the logits are not finite
    if (inverse == 0.0f && std::isfinite(raw.sum)) {
      token = static_cast<int32_t>(std::max_element(logits, logits + sample.vocab) - logits);
    } else if (std::isfinite(raw.sum)) {
      if (inverse != 1.0f) drawn = logit_moments(logits, sample.vocab, inverse, &block_sums);
      token = draw(logits, sample.vocab, inverse, drawn, block_sums, sample.uniforms[row]);
    }
    sample.tokens[row] = token;
    std::tie(sample.log_probs[row], sample.entropies[row]) = scores_of(drawn, logits[token], inverse == 0.0f ? 1.0 : inverse);
    if (sample.model_log_probs != nullptr)
      std::tie(sample.model_log_probs[row], sample.model_entropies[row]) = scores_of(raw, logits[token], 1.0);
  }
}

}  // namespace magrpo::kernels
