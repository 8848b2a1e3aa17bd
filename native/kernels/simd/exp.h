// A float32 exponential that compilers turn into vector code.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/simd/dispatch.h"

namespace magrpo::kernels {

// exp(x) for x <= 88 within 2 units in the last place; 0 below -87.3 and for -infinity. Range reduction to |r| <= ln(2)/2 and a
// polynomial of degree 6 (Cody & Waite splitting of ln 2).
MAGRPO_INLINE float fast_exp(float x) {
  const float clamped = x < -87.3f ? -87.3f : x;
  // Adding and subtracting 1.5 x 2^23 rounds to the nearest integer.
  const float n = (clamped * 1.44269504f + 12582912.0f) - 12582912.0f;
  const float r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float value = p * r * r + r + 1.0f;
  const float scaled = value * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
  return x < -87.3f ? 0.0f : scaled;
}

}  // namespace magrpo::kernels
