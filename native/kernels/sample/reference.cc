#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/sample/sample.h"

namespace magrpo::kernels {

void sample_rows_reference(const SampleRows& sample, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* logits = sample.logits + row * sample.stride;
    const double highest = *std::max_element(logits, logits + sample.vocab);
    double sum = 0.0, weighted = 0.0, mass = 0.0;
    for (int64_t i = 0; i < sample.vocab; ++i) {
      const double shifted = logits[i] - highest, e = std::exp(shifted);
      sum += e;
      weighted += e > 0.0 ? e * shifted : 0.0;
      mass += std::exp(shifted * sample.inverse_temperature);
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
    const bool finite = std::isfinite(sum);
    sample.tokens[row] = finite ? static_cast<int32_t>(token) : 0;
    sample.log_probs[row] = finite ? static_cast<float>(logits[token] - highest - std::log(sum)) : std::numeric_limits<float>::quiet_NaN();
    sample.entropies[row] = finite ? static_cast<float>(std::log(sum) - weighted / sum) : std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace magrpo::kernels
