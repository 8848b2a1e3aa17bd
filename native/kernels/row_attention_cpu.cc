#include <algorithm>
#include <cmath>

#include "kernels/eight.h"
#include "kernels/row_attention.h"
#include "kernels/simd.h"
#include "kernels/softmax.h"

// Keys and values are read where they lie in the cache, as a copy would serve one step only. Rows that share leading ranges (the
// samples of a prompt) take turns at each block of shared keys while it is in the first cache level. Every query's sums run over
// its keys in the order of its text, so a row alone equals the row in a batch, bit for bit.
namespace magrpo::kernels {
namespace {

constexpr int64_t kBlock = 32;  // keys that stay in the first cache level

typedef int32_t EightLanes __attribute__((vector_size(32)));

// Lane i is the sum of sums[i]'s lanes, each added up in the same order.
MAGRPO_INLINE Eight add_across(const Eight (&sums)[8]) {
  Eight pairs[4], fours[2];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    pairs[i] = MAGRPO_LANES(EightLanes, sums[i], sums[i + 4], 0, 1, 2, 3, 8, 9, 10, 11) +
               MAGRPO_LANES(EightLanes, sums[i], sums[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i)
    fours[i] = MAGRPO_LANES(EightLanes, pairs[i], pairs[i + 2], 0, 1, 8, 9, 4, 5, 12, 13) +
               MAGRPO_LANES(EightLanes, pairs[i], pairs[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
  return MAGRPO_LANES(EightLanes, fours[0], fours[1], 0, 8, 2, 10, 4, 12, 6, 14) +
         MAGRPO_LANES(EightLanes, fours[0], fours[1], 1, 9, 3, 11, 5, 13, 7, 15);
}

// scores[j] = scale · q·k for `count` keys, up to 8, that lie `stride` floats apart.
MAGRPO_INLINE void score_keys(const float* q, const float* keys, int64_t stride, int64_t dim, int64_t count, float scale, float* scores) {
  Eight sums[8] = {};
  const float* key[8];
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) key[j] = keys + std::min<int64_t>(j, count - 1) * stride;
  int64_t d = 0;
  for (; d + 8 <= dim; d += 8) {
    const Eight a = load(q + d);
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) sums[j] += a * load(key[j] + d);
  }
  Eight result = add_across(sums);
  for (; d < dim; ++d)
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) result[j] += q[d] * key[j][d];
  result *= scale;
  if (count == 8) store(scores, result);
  else
    for (int j = 0; j < count; ++j) scores[j] = result[j];
}

// out[d .. d + 8 vectors) += Σ_j p[j] · values[j][d ..].
template <int vectors>
MAGRPO_INLINE void add_columns(const float* p, const float* values, int64_t stride, int64_t count, float* out) {
  Eight sums[vectors];
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) sums[v] = load(out + 8 * v);
  for (int64_t j = 0; j < count; ++j)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sums[v] += p[j] * load(values + j * stride + 8 * v);
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) store(out + 8 * v, sums[v]);
}

MAGRPO_INLINE void add_values(const float* p, const float* values, int64_t stride, int64_t dim, int64_t count, float* out) {
  int64_t d = 0;
  for (; d + 64 <= dim; d += 64) add_columns<8>(p, values + d, stride, count, out + d);
  if (d + 32 <= dim) add_columns<4>(p, values + d, stride, count, out + d), d += 32;
  for (; d + 8 <= dim; d += 8) add_columns<1>(p, values + d, stride, count, out + d);
  for (; d < dim; ++d)
    for (int64_t j = 0; j < count; ++j) out[d] += p[j] * values[j * stride + d];
}

bool same(const KeyRange& a, const KeyRange& b) { return a.begin == b.begin && a.length == b.length && a.position == b.position; }

// Leading ranges that all spans share.
int64_t shared_ranges(const QuerySpan* spans, const KeyRange* ranges, int64_t begin, int64_t end) {
  int64_t shared = spans[begin].range_end - spans[begin].range_begin;
  for (int64_t s = begin + 1; s < end; ++s) {
    shared = std::min(shared, spans[s].range_end - spans[s].range_begin);
    for (int64_t r = 0; r < shared; ++r)
      if (!same(ranges[spans[begin].range_begin + r], ranges[spans[s].range_begin + r])) shared = r;
  }
  return shared;
}

}  // namespace

int64_t row_attention_scratch(const AttentionShape& shape, int64_t rows, int64_t context) {
  return rows * (shape.heads / shape.kv_heads) * context;
}

MAGRPO_SIMD_CLONES
void row_attention(const AttentionShape& shape, const AttentionPointers& data, const QuerySpan* spans, const KeyRange* ranges,
                   int64_t begin, int64_t end, int64_t kv_head, float* scratch) {
  const int64_t dim = shape.head_dim, fold = shape.heads / shape.kv_heads;
  int64_t context = 0;
  for (int64_t s = begin; s < end; ++s) context = std::max(context, spans[s].position + 1);
  const float* keys = data.k + kv_head * dim;
  const float* values = data.v + kv_head * dim;
  const auto scores_of = [&](int64_t span, int64_t head) { return scratch + ((span - begin) * fold + head) * context; };
  const auto query_of = [&](int64_t span, int64_t head) {
    return data.q + spans[span].begin * shape.q_stride + (kv_head * fold + head) * dim;
  };
  const auto out_of = [&](int64_t span, int64_t head) {
    return data.out + (spans[span].begin * shape.heads + kv_head * fold + head) * dim;
  };
  const int64_t shared = shared_ranges(spans, ranges, begin, end);
  // Calls work(span, range, first, last) for each span's visible keys [first, last) of each range, blocks of shared keys in turns.
  const auto for_keys = [&](auto&& work) __attribute__((always_inline)) {
    const auto visit = [&](int64_t s, const KeyRange& range, int64_t from, int64_t to) __attribute__((always_inline)) {
      const Visible seen = visible(spans[s].position, shape.window);
      const int64_t first = std::max(from, seen.first - range.position), last = std::min(to, seen.last - range.position);
      if (first < last) work(s, range, first, last);
    };
    for (int64_t r = 0; r < shared; ++r) {
      const KeyRange& range = ranges[spans[begin].range_begin + r];
      for (int64_t block = 0; block < range.length; block += kBlock)
        for (int64_t s = begin; s < end; ++s) visit(s, range, block, std::min(range.length, block + kBlock));
    }
    for (int64_t s = begin; s < end; ++s)
      for (int64_t r = spans[s].range_begin + shared; r < spans[s].range_end; ++r) visit(s, ranges[r], 0, ranges[r].length);
  };
  for_keys([&](int64_t s, const KeyRange& range, int64_t first, int64_t last) __attribute__((always_inline)) {
    for (int64_t head = 0; head < fold; ++head)
      for (int64_t j = first; j < last; j += 8)
        score_keys(query_of(s, head), keys + (range.begin + j) * shape.k_stride, shape.k_stride, dim, std::min<int64_t>(8, last - j),
                   shape.scale, scores_of(s, head) + range.position + j);
  });
  for (int64_t s = begin; s < end; ++s)
    for (int64_t head = 0; head < fold; ++head) {
      float* scores = scores_of(s, head);
      const Visible seen = visible(spans[s].position, shape.window);
      const float highest = largest(scores, seen);
      const float total = exponentiate(scores, seen, highest);
      const float inverse = 1.0f / total;
      for (int64_t j = seen.first; j < seen.last; ++j) scores[j] *= inverse;
      std::fill_n(out_of(s, head), dim, 0.0f);
      if (data.lse != nullptr) data.lse[spans[s].begin * shape.heads + kv_head * fold + head] = highest + std::log(total);
    }
  for_keys([&](int64_t s, const KeyRange& range, int64_t first, int64_t last) __attribute__((always_inline)) {
    for (int64_t head = 0; head < fold; ++head)
      add_values(scores_of(s, head) + range.position + first, values + (range.begin + first) * shape.v_stride, shape.v_stride, dim,
                 last - first, out_of(s, head));
  });
}

}  // namespace magrpo::kernels
