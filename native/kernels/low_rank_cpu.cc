#include <cstring>

#include "kernels/eight.h"
#include "kernels/low_rank.h"
#include "kernels/simd.h"

namespace magrpo::kernels {
namespace {

// Up to 8 columns. The last few go through vectors like all others: a loop of their own would round otherwise.
template <bool whole>
MAGRPO_INLINE Eight load_columns(const float* from, int64_t count) {
  if constexpr (whole) return load(from);
  Eight value = {};
  std::memcpy(&value, from, static_cast<size_t>(count) * sizeof(float));
  return value;
}

// `count` columns if they are not a whole vector.
template <int rows, int vectors, bool whole>
MAGRPO_INLINE void tile(const LowRankProduct& p, int64_t row, int64_t column, int64_t count) {
  const float* inner = p.inner + row * p.rank;
  Eight sums[rows][vectors] = {};
  for (int64_t k = 0; k < p.rank; ++k) {
    Eight b[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) b[v] = load_columns<whole>(p.b + k * p.out + column + 8 * v, count);
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[r][v] += inner[r * p.rank + k] * b[v];
  }
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      float* y = p.y + (row + r) * p.y_stride + column + 8 * v;
      const Eight sum = load_columns<whole>(y, count) + p.scale * sums[r][v];
      if constexpr (whole) store(y, sum);
      else std::memcpy(y, &sum, static_cast<size_t>(count) * sizeof(float));
    }
}

template <int vectors, bool whole>
MAGRPO_INLINE void columns(const LowRankProduct& p, int64_t column, int64_t count) {
  int64_t row = 0;
  for (; row + 4 <= p.rows; row += 4) tile<4, vectors, whole>(p, row, column, count);
  for (; row < p.rows; ++row) tile<1, vectors, whole>(p, row, column, count);
}

}  // namespace

MAGRPO_SIMD_CLONES
void low_rank_add(const LowRankProduct& p, int64_t begin, int64_t end) {
  int64_t column = begin;
  for (; column + 16 <= end; column += 16) columns<2, true>(p, column, 8);
  for (; column + 8 <= end; column += 8) columns<1, true>(p, column, 8);
  if (column < end) columns<1, false>(p, column, end - column);
}

}  // namespace magrpo::kernels
