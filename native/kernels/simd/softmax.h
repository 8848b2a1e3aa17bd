// Parts of a softmax over the keys that a query sees.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/simd/dispatch.h"
#include "kernels/simd/exp.h"

namespace magrpo::kernels {

// Keys [first, last) of a path that a query at `position` sees.
struct Visible {
  int64_t first;
  int64_t last;
};

MAGRPO_INLINE Visible visible(int64_t position, int64_t window) {
  return {window > 0 ? std::max<int64_t>(0, position - window + 1) : 0, position + 1};
}

MAGRPO_INLINE float largest(const float* scores, Visible keys) {
  float highest = -INFINITY;
#pragma omp simd reduction(max : highest)
  for (int64_t j = keys.first; j < keys.last; ++j) highest = scores[j] > highest ? scores[j] : highest;
  return highest;
}

// scores[j] becomes exp(scores[j] - highest); returns their sum.
MAGRPO_INLINE float exponentiate(float* scores, Visible keys, float highest) {
  float total = 0.0f;
#pragma omp simd reduction(+ : total)
  for (int64_t j = keys.first; j < keys.last; ++j) {
    scores[j] = fast_exp(scores[j] - highest);
    total += scores[j];
  }
  return total;
}

}  // namespace magrpo::kernels
