#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/sample/sample.h"

namespace magrpo::kernels {

void sample_rows_reference(const SampleRows& sample, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* logits = sample.logits + row * sample.stride;
    const double highest = *std::max_element(logits, logits + sample.vocab);
    double sum = 0.0, weighted = 0.0, mass = 0.0, mass_weighted = 0.0;
    for (int64_t i = 0; i < sample.vocab; ++i) {
      const double shifted = logits[i] - highest, e = std::exp(shifted);
      sum += e;
      weighted += e > 0.0 ? e * shifted : 0.0;
      const double scaled = shifted * sample.inverse_temperature, m = std::exp(scaled);
      mass += m;
      mass_weighted += m > 0.0 ? m * scaled : 0.0;
    }
    int64_t token = 0;
    if (sample.inverse_temperature == 0.0)
      while (logits[token] < highest) ++token;
    else {
      double cumulative = 0.0;
      for (int64_t i = 0; i < sample.vocab && cumulative <= sample.uniforms[row] * mass; ++i) {
        const double p = std::exp((logits[i] - highest) * sample.inverse_temperature);
        cumulative += p;
        if (p > 0.0) token = i;
      }
    }
    const double bad = std::isfinite(sum) ? 0.0 : std::numeric_limits<double>::quiet_NaN(), shifted = logits[token] - highest;
    const double model_log_prob = shifted - std::log(sum) + bad, model_entropy = std::log(sum) - weighted / sum + bad;
    const bool is_greedy = sample.inverse_temperature == 0.0;
    sample.tokens[row] = std::isfinite(sum) ? static_cast<int32_t>(token) : 0;
    sample.log_probs[row] = static_cast<float>(is_greedy ? model_log_prob : shifted * sample.inverse_temperature - std::log(mass) + bad);
    sample.entropies[row] = static_cast<float>(is_greedy ? model_entropy : std::log(mass) - mass_weighted / mass + bad);
    if (sample.model_log_probs == nullptr) continue;
    sample.model_log_probs[row] = static_cast<float>(model_log_prob);
    sample.model_entropies[row] = static_cast<float>(model_entropy);
  }
}

}  // namespace magrpo::kernels
