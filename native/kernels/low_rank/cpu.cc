#include <cstring>

#include "kernels/low_rank/low_rank.h"
#include "kernels/simd/vector.h"

namespace magrpo::kernels {
namespace {

// Loads `count` add_columns: a whole vector, or the last few. These use vectors too, as a scalar loop would round differently.
template <int bytes, bool whole>
MAGRPO_INLINE void load_columns(const float* from, int64_t count, typename Vector<bytes>::Floats& to) {
  if constexpr (whole) load<bytes>(from, to);
  else {
    to = typename Vector<bytes>::Floats{};
    std::memcpy(&to, from, static_cast<size_t>(count) * sizeof(float));
  }
}

// Computes a tile of y in registers, and prefetches B's add_columns `ahead` further on unless that is 0: B's rows are more streams than the
// hardware prefetcher follows.
template <int bytes, int rows, int vectors, bool whole>
MAGRPO_INLINE void tile(const LowRankProduct& p, int64_t row, int64_t column, int64_t count, int64_t ahead) {
  using V = Vector<bytes>;
  const float* inner = p.inner + row * p.rank;
  typename V::Floats sums[rows][vectors] = {};
  for (int64_t k = 0; k < p.rank; ++k) {
    const float* from = p.b + k * p.b_rank_stride + column;
    typename V::Floats b[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      if (ahead > 0) __builtin_prefetch(from + ahead + v * V::kWidth, 0, 2);
      load_columns<bytes, whole>(from + v * V::kWidth, count, b[v]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[r][v] += inner[r * p.rank + k] * b[v];
  }
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      float* y = p.y + (row + r) * p.y_stride + column + v * V::kWidth;
      typename V::Floats sum;
      load_columns<bytes, whole>(y, count, sum);
      sum += p.scale * sums[r][v];
      std::memcpy(y, &sum, static_cast<size_t>(count) * sizeof(float));
    }
}

template <int bytes, int vectors, bool whole>
MAGRPO_INLINE void add_columns(const LowRankProduct& p, int64_t column, int64_t count) {
  constexpr int64_t kAhead = 2 * vectors * Vector<bytes>::kWidth;
  int64_t row = 0;
  for (; row + 4 <= p.rows; row += 4) tile<bytes, 4, vectors, whole>(p, row, column, count, row == 0 ? kAhead : 0);
  for (; row < p.rows; ++row) tile<bytes, 1, vectors, whole>(p, row, column, count, row == 0 ? kAhead : 0);
}

template <int bytes>
MAGRPO_INLINE void add(const LowRankProduct& p, int64_t begin, int64_t end) {
  constexpr int64_t width = Vector<bytes>::kWidth;
  int64_t column = begin;
  for (; column + 2 * width <= end; column += 2 * width) add_columns<bytes, 2, true>(p, column, width);
  for (; column + width <= end; column += width) add_columns<bytes, 1, true>(p, column, width);
  if (column < end) add_columns<bytes, 1, false>(p, column, end - column);
}

}  // namespace

void low_rank_add(const LowRankProduct& p, int64_t begin, int64_t end) { dispatch<add<64>, add<32>, add<16>>(p, begin, end); }

}  // namespace magrpo::kernels
