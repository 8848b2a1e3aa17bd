#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/row_product/row_product.h"
#include "kernels/simd/vector.h"

// A tile of rows x columns of y stays in registers while the columns' weights stream by: each weight is loaded once for all rows of a
// tile, and x is read from L1 or L2. Vectors run along `in`, so weights need no packing and can be those that training updates.
namespace magrpo::kernels {
namespace {

MAGRPO_INLINE float value(float x) { return x; }
MAGRPO_INLINE float value(uint16_t x) { return std::bit_cast<float>(static_cast<uint32_t>(x) << 16); }

template <int columns>
MAGRPO_INLINE void write(const RowProduct& p, int64_t row, int64_t column, Four sum) {
  float* y = p.y + row * p.y_stride + column;
  constexpr size_t size = columns * sizeof(float);
  Four more = {};
  sum *= p.scale;
  if (p.bias != nullptr) {
    std::memcpy(&more, p.bias + column, size);
    sum += more;
  }
  if (p.adds) {
    std::memcpy(&more, y, size);
    sum += more;
  }
  std::memcpy(y, &sum, size);
}

// Computes a tile of y and prefetches `ahead` columns from `next` on into L2. Where weights come from memory, the hardware prefetcher
// restarts at every column band. L1 has too few outstanding misses to keep memory busy.
template <int bytes, int rows, int columns, int ahead, class Weight>
MAGRPO_INLINE void tile(const RowProduct& p, int64_t row, int64_t column, const Weight* next) {
  using V = Vector<bytes>;
  const float* x = p.x + row * p.x_stride;
  const Weight* weight = static_cast<const Weight*>(p.weight) + column * p.in;
  typename V::Floats sums[rows][columns] = {};
  int64_t i = 0;
  for (; i + V::kWidth <= p.in; i += V::kWidth) {
    typename V::Floats w[columns];
#pragma GCC unroll 8
    for (int c = 0; c < columns; ++c) load<bytes>(weight + c * p.in + i, w[c]);
#pragma GCC unroll 8
    for (int c = 0; c < ahead; ++c) __builtin_prefetch(next + c * p.in + i, 0, 2);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      typename V::Floats a;
      load<bytes>(x + r * p.x_stride + i, a);
#pragma GCC unroll 8
      for (int c = 0; c < columns; ++c) sums[r][c] += a * w[c];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
    Four sum = add_across<bytes, columns>(sums[r]);
    for (int64_t k = i; k < p.in; ++k)
      for (int c = 0; c < columns; ++c) sum[c] += x[r * p.x_stride + k] * value(weight[c * p.in + k]);
    write<columns>(p, row + r, column, sum);
  }
}

// Weights per column up to which a band and the next one fit L1 beside the rows of a tile.
constexpr int64_t kShortIn = 1024;

// Computes one of a band's `tiles` tiles. Each prefetches its share of the band after the next, so that memory is busy while they
// compute; for long columns the first tile prefetches the whole band.
template <int bytes, int rows, int columns, class Weight>
MAGRPO_INLINE void band_tile(const RowProduct& p, int64_t row, int64_t column, int64_t index, int64_t tiles) {
  const int64_t share = p.in > kShortIn || tiles == 1 ? columns : tiles < columns ? 2 : 1, first = index * share;
  const Weight* next = static_cast<const Weight*>(p.weight) + (column + 2 * columns + first) * p.in;
  if (first >= columns) tile<bytes, rows, columns, 0, Weight>(p, row, column, next);
  else if (share == 1) tile<bytes, rows, columns, 1, Weight>(p, row, column, next);
  else if (share == 2) tile<bytes, rows, columns, std::min(2, columns), Weight>(p, row, column, next);
  else tile<bytes, rows, columns, columns, Weight>(p, row, column, next);
}

// Tiles of `rows` rows, then of 4, 2 and 1 for the remainder: a tile of 2 loads six vectors for eight products, one of 4 loads eight for
// sixteen.
template <int bytes, int rows, int columns, class Weight>
MAGRPO_INLINE void band(const RowProduct& p, int64_t column) {
  const int64_t rest = p.rows % rows, tiles = p.rows / rows + rest / 4 + rest % 4 / 2 + rest % 2;
  int64_t row = 0, index = 0;
  for (; row + rows <= p.rows; row += rows) band_tile<bytes, rows, columns, Weight>(p, row, column, index++, tiles);
  if (row + 4 <= p.rows) {
    band_tile<bytes, 4, columns, Weight>(p, row, column, index++, tiles);
    row += 4;
  }
  for (; row + 2 <= p.rows; row += 2) band_tile<bytes, 2, columns, Weight>(p, row, column, index++, tiles);
  if (row < p.rows) band_tile<bytes, 1, columns, Weight>(p, row, column, index, tiles);
}

template <int bytes, int rows, int columns, class Weight>
MAGRPO_INLINE void for_bands(const RowProduct& p, int64_t begin, int64_t end) {
  int64_t column = begin;
  for (; column + columns <= end; column += columns) band<bytes, rows, columns, Weight>(p, column);
  for (; column < end; ++column) band<bytes, rows, 1, Weight>(p, column);
}

template <int bytes, int rows, int columns>
MAGRPO_INLINE void for_weight_type(const RowProduct& p, int64_t begin, int64_t end) {
  if (p.is_bfloat16) for_bands<bytes, rows, columns, uint16_t>(p, begin, end);
  else for_bands<bytes, rows, columns, float>(p, begin, end);
}

// Rows per chunk: their x stays in L2 while all weights stream by. Larger chunks would save too little weight traffic.
constexpr int64_t kChunkRows = 192;

template <int bytes, int rows, int columns>
MAGRPO_INLINE void for_chunks(const RowProduct& product, int64_t begin, int64_t end) {
  RowProduct p = product;
  const int64_t all = p.rows, chunks = std::max<int64_t>(1, (all + kChunkRows - 1) / kChunkRows);
  const int64_t size = (all + chunks - 1) / chunks, chunk_rows = (size + rows - 1) / rows * rows;
  for (int64_t row = 0; row < all; row += chunk_rows) {
    p.rows = std::min(chunk_rows, all - row);
    for_weight_type<bytes, rows, columns>(p, begin, end);
    p.x += p.rows * p.x_stride;
    p.y += p.rows * p.y_stride;
  }
}

}  // namespace

bool row_product_is_always_faster() {
#if defined(MAGRPO_HAS_LEVELS)
  static const bool always_faster = __builtin_cpu_is("amd") && simd_level() == SimdLevel::kAvx512;
  return always_faster;
#else
  return false;
#endif
}

void row_product(const RowProduct& product, int64_t begin, int64_t end) {
  // Tiles that fill the registers of each level: 32 of 64 bytes, 16 of 32 bytes, 16 of 16 bytes.
  dispatch<for_chunks<64, 6, 4>, for_chunks<32, 4, 3>, for_chunks<16, 4, 3>>(product, begin, end);
}

}  // namespace magrpo::kernels
