// Vectors of floats of 16, 32 or 64 bytes, as the compiler's vector types. Pass them by reference and between inlined functions only:
// their calling convention depends on the level a function is built for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernels/simd/dispatch.h"

#pragma GCC diagnostic ignored "-Wpsabi"

// Shuffles lanes of a and b; indices of b follow those of a. `Indices`: an integer vector with as many lanes.
#if defined(__clang__)
#define MAGRPO_LANES(Indices, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MAGRPO_LANES(Indices, a, b, ...) __builtin_shuffle(a, b, Indices{__VA_ARGS__})
#endif

namespace magrpo::kernels {

template <int bytes>
struct Vector {
  static constexpr int kWidth = bytes / 4;
  typedef float Floats __attribute__((vector_size(bytes)));
  typedef uint32_t Bits __attribute__((vector_size(bytes)));
};

template <int bytes>
MAGRPO_INLINE void load(const float* from, typename Vector<bytes>::Floats& to) {
  std::memcpy(&to, from, bytes);
}

// From bfloat16, as its 16 bits.
template <int bytes>
MAGRPO_INLINE void load(const uint16_t* from, typename Vector<bytes>::Floats& to) {
  typedef uint16_t Halves __attribute__((vector_size(bytes / 2)));
  Halves halves;
  std::memcpy(&halves, from, bytes / 2);
  const auto bits = __builtin_convertvector(halves, typename Vector<bytes>::Bits) << 16;
  std::memcpy(&to, &bits, bytes);
}

template <int bytes>
MAGRPO_INLINE void store(const typename Vector<bytes>::Floats& from, float* to) {
  std::memcpy(to, &from, bytes);
}

typedef float Four __attribute__((vector_size(16)));

// Source of lane i of a fold: within every four lanes, `block` lanes of a alternate with `block` lanes of b.
constexpr int folded_lane(int i, int block, int width) { return i / 4 * 4 + (block == 1 ? i % 4 / 2 : i % 2) + i / block % 2 * width; }

// Adds lanes that are two apart: a0+a2 b0+b2 a1+a3 b1+b3 with blocks of 1, a0+a2 a1+a3 b0+b2 b1+b3 with blocks of 2.
template <int block, class V, int... i>
MAGRPO_INLINE void fold(const typename V::Floats& a, const typename V::Floats& b, typename V::Floats& sum,
                        std::integer_sequence<int, i...>) {
  sum = MAGRPO_LANES(typename V::Bits, a, b, folded_lane(i, block, V::kWidth)...) +
        MAGRPO_LANES(typename V::Bits, a, b, (folded_lane(i, block, V::kWidth) + 2)...);
}

// Lane c is the sum of v[c]'s lanes, in an order that does not depend on the number of columns (up to 4).
template <int bytes, int columns>
MAGRPO_INLINE Four add_across(const typename Vector<bytes>::Floats (&v)[columns]) {
  using V = Vector<bytes>;
  constexpr auto lanes = std::make_integer_sequence<int, V::kWidth>();
  constexpr int last = columns - 1;
  typename V::Floats pairs[2], all;
  fold<1, V>(v[0], v[std::min(1, last)], pairs[0], lanes);
  fold<1, V>(v[std::min(2, last)], v[last], pairs[1], lanes);
  fold<2, V>(pairs[0], pairs[1], all, lanes);
  Four sums[bytes / 16];
  std::memcpy(sums, &all, bytes);
#pragma GCC unroll 2
  for (int half = bytes / 32; half > 0; half /= 2)
    for (int k = 0; k < half; ++k) sums[k] += sums[k + half];
  return sums[0];
}

}  // namespace magrpo::kernels
