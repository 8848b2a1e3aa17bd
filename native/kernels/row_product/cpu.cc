#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/row_product/row_product.h"
#include "kernels/simd/vector.h"

// A tile of rows x columns of y is kept in registers while the columns' weights stream by, so each weight is loaded once for all
// rows of a tile and x comes from the first cache levels. Vectors run along `in`: weights need no packing, and the ones training
// changes are the ones read here.
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

// Computes a tile of y, and meanwhile asks for `ahead` columns from `next` on, into the second cache level: where weights come from
// memory, the processor's own guesses start anew at every band, and the first level waits for too few lines at a time to keep memory
// busy (at 8 rows and 120 MB on AVX-512 and AVX2 1.8 to 2 times as quick as asking for the first level).
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

// Length of a column's weights up to which a band and the next one stay in the first cache level beside the rows of a tile.
constexpr int64_t kShortIn = 1024;

// The `turn`-th of a band's `turns` tiles. They share asking for the weights of the band after the next, so that memory is busy while
// they compute (1.1 to 1.2 times as quick from 8 rows on, on AVX-512); for long columns the first asks for all.
template <int bytes, int rows, int columns, class Weight>
MAGRPO_INLINE void tile_of_band(const RowProduct& p, int64_t row, int64_t column, int64_t turn, int64_t turns) {
  const int64_t share = p.in > kShortIn || turns == 1 ? columns : turns < columns ? 2 : 1, first = turn * share;
  const Weight* next = static_cast<const Weight*>(p.weight) + (column + 2 * columns + first) * p.in;
  if (first >= columns) tile<bytes, rows, columns, 0, Weight>(p, row, column, next);
  else if (share == 1) tile<bytes, rows, columns, 1, Weight>(p, row, column, next);
  else if (share == 2) tile<bytes, rows, columns, std::min(2, columns), Weight>(p, row, column, next);
  else tile<bytes, rows, columns, columns, Weight>(p, row, column, next);
}

// Tiles of all rows and then, for those left over, of 4, 2 and 1: a tile of 2 loads six vectors for eight products, one of 4 eight
// for sixteen (1.2 times as quick at 10 and 12 rows, on AVX-512).
template <int bytes, int rows, int columns, class Weight>
MAGRPO_INLINE void band(const RowProduct& p, int64_t column) {
  const int64_t rest = p.rows % rows, turns = p.rows / rows + rest / 4 + rest % 4 / 2 + rest % 2;
  int64_t row = 0, turn = 0;
  for (; row + rows <= p.rows; row += rows) tile_of_band<bytes, rows, columns, Weight>(p, row, column, turn++, turns);
  if (row + 4 <= p.rows) {
    tile_of_band<bytes, 4, columns, Weight>(p, row, column, turn++, turns);
    row += 4;
  }
  for (; row + 2 <= p.rows; row += 2) tile_of_band<bytes, 2, columns, Weight>(p, row, column, turn++, turns);
  if (row < p.rows) tile_of_band<bytes, 1, columns, Weight>(p, row, column, turn, turns);
}

template <int bytes, int rows, int columns, class Weight>
MAGRPO_INLINE void columns_of(const RowProduct& p, int64_t begin, int64_t end) {
  int64_t column = begin;
  for (; column + columns <= end; column += columns) band<bytes, rows, columns, Weight>(p, column);
  for (; column < end; ++column) band<bytes, rows, 1, Weight>(p, column);
}

template <int bytes, int rows, int columns>
MAGRPO_INLINE void any_weight(const RowProduct& p, int64_t begin, int64_t end) {
  if (p.is_bfloat16) columns_of<bytes, rows, columns, uint16_t>(p, begin, end);
  else columns_of<bytes, rows, columns, float>(p, begin, end);
}

// Rows at a time: their x stays in the second cache level while all weights stream by, which is often enough for the weights.
constexpr int64_t kRowsAtOnce = 192;

template <int bytes, int rows, int columns>
MAGRPO_INLINE void in_chunks(const RowProduct& product, int64_t begin, int64_t end) {
  RowProduct p = product;
  const int64_t all = p.rows, chunks = std::max<int64_t>(1, (all + kRowsAtOnce - 1) / kRowsAtOnce);
  const int64_t size = (all + chunks - 1) / chunks, most = (size + rows - 1) / rows * rows;
  for (int64_t row = 0; row < all; row += most) {
    p.rows = std::min(most, all - row);
    any_weight<bytes, rows, columns>(p, begin, end);
    p.x += p.rows * p.x_stride;
    p.y += p.rows * p.y_stride;
  }
}

}  // namespace

bool row_product_takes_all() {
#if defined(MAGRPO_HAS_LEVELS)
  static const bool takes_all = __builtin_cpu_is("amd") && simd_level() == SimdLevel::kAvx512;
  return takes_all;
#else
  return false;
#endif
}

void row_product(const RowProduct& product, int64_t begin, int64_t end) {
  // Tiles that fill the registers of each level: 32 of 64 bytes, 16 of 32 bytes, 16 of 16 bytes.
  dispatch<in_chunks<64, 6, 4>, in_chunks<32, 4, 3>, in_chunks<16, 4, 3>>(product, begin, end);
}

}  // namespace magrpo::kernels
