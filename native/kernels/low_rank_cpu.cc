#include "kernels/eight.h"
#include "kernels/low_rank.h"
#include "kernels/simd.h"

namespace magrpo::kernels {
namespace {

template <int rows, int vectors>
MAGRPO_INLINE void tile(const LowRankProduct& p, int64_t row, int64_t column) {
  const float* inner = p.inner + row * p.rank;
  Eight sums[rows][vectors] = {};
  for (int64_t k = 0; k < p.rank; ++k) {
    Eight b[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) b[v] = load(p.b + k * p.out + column + 8 * v);
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
      store(y, load(y) + p.scale * sums[r][v]);
    }
}

template <int vectors>
MAGRPO_INLINE void columns(const LowRankProduct& p, int64_t column) {
  int64_t row = 0;
  for (; row + 4 <= p.rows; row += 4) tile<4, vectors>(p, row, column);
  for (; row < p.rows; ++row) tile<1, vectors>(p, row, column);
}

}  // namespace

MAGRPO_SIMD_CLONES
void low_rank_add(const LowRankProduct& p, int64_t begin, int64_t end) {
  int64_t column = begin;
  for (; column + 16 <= end; column += 16) columns<2>(p, column);
  for (; column + 8 <= end; column += 8) columns<1>(p, column);
  for (; column < end; ++column)
    for (int64_t row = 0; row < p.rows; ++row) {
      float sum = 0.0f;
      for (int64_t k = 0; k < p.rank; ++k) sum += p.inner[row * p.rank + k] * p.b[k * p.out + column];
      p.y[row * p.y_stride + column] += p.scale * sum;
    }
}

}  // namespace magrpo::kernels
