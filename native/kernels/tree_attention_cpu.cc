#include <algorithm>
#include <cmath>

#include "kernels/eight.h"
#include "kernels/row_attention.h"
#include "kernels/simd.h"
#include "kernels/softmax.h"
#include "kernels/tree_attention.h"

// Queries are taken four at a time (neighbours in a text, and the heads that share a KV head): each key that is loaded serves
// all four, and products stay in registers. Every query's sums run over its own keys in the order of the text, whatever else is in
// the batch; what another of the four sees beyond them counts as zero.
namespace magrpo::kernels {
namespace {

constexpr int kItems = 4;     // queries of a block
constexpr int kStride = 16;   // keys are padded to a multiple of this

constexpr int64_t padded(int64_t size, int64_t unit) { return (size + unit - 1) / unit * unit; }

// A path's keys (or values) of one head, n slots and D dimensions with their padding zeroed: rows[j][d] and transposed[d][j], either
// of which may be null.
MAGRPO_INLINE void gather(const float* source, int64_t stride, int64_t dim, const KeyRange* ranges, int64_t range_begin,
                          int64_t range_end, int64_t context, float* rows, float* transposed) {
  const int64_t n = padded(context, kStride), width = padded(dim, 8);
  if (rows != nullptr) std::fill(rows, rows + n * width, 0.0f);
  if (transposed != nullptr)
    for (int64_t d = 0; d < dim; ++d) std::fill(transposed + d * n + context, transposed + (d + 1) * n, 0.0f);
  for (int64_t r = range_begin; r < range_end; ++r) {
    const int64_t count = std::min(ranges[r].length, context - ranges[r].position);
    for (int64_t j = 0; j < count; ++j) {
      const float* from = source + (ranges[r].begin + j) * stride;
      const int64_t at = ranges[r].position + j;
      if (rows != nullptr) std::copy(from, from + dim, rows + at * width);
      if (transposed == nullptr) continue;
      for (int64_t d = 0; d < dim; ++d) transposed[d * n + at] = from[d];
    }
  }
}

// Adds rows[j][d] to a path's slots.
MAGRPO_INLINE void scatter_add(const float* rows, int64_t stride, int64_t dim, const KeyRange* ranges, int64_t range_begin,
                               int64_t range_end, int64_t context, float* target) {
  for (int64_t r = range_begin; r < range_end; ++r) {
    const int64_t count = std::min(ranges[r].length, context - ranges[r].position);
    for (int64_t j = 0; j < count; ++j) {
      const float* from = rows + (ranges[r].position + j) * padded(dim, 8);
      float* to = target + (ranges[r].begin + j) * stride;
      for (int64_t d = 0; d < dim; ++d) to[d] += from[d];
    }
  }
}

// out[i][j] = scale · Σ_d x[i][d] · transposed[d][j] for the keys [first, last), multiples of kStride.
MAGRPO_INLINE void project(const float* x, const float* transposed, int64_t dim, int64_t n, Visible keys, float scale, float* out) {
  const int64_t width = padded(dim, 8);
  for (int64_t j = keys.first; j < keys.last; j += kStride) {
    Eight sums[kItems][2] = {};
    for (int64_t d = 0; d < dim; ++d) {
      const Eight a = load(transposed + d * n + j), b = load(transposed + d * n + j + 8);
#pragma GCC unroll 4
      for (int i = 0; i < kItems; ++i) {
        sums[i][0] += x[i * width + d] * a;
        sums[i][1] += x[i * width + d] * b;
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kItems; ++i) {
      store(out + i * n + j, scale * sums[i][0]);
      store(out + i * n + j + 8, scale * sums[i][1]);
    }
  }
}

// out[i][d] = Σ_j p[i][j] · rows[j][d].
template <int vectors>
MAGRPO_INLINE void combine_columns(const float* p, const float* rows, int64_t width, int64_t n, Visible keys, int64_t d, float* out) {
  Eight sums[kItems][vectors] = {};
  for (int64_t j = keys.first; j < keys.last; ++j) {
    Eight row[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) row[v] = load(rows + j * width + d + 8 * v);
#pragma GCC unroll 4
    for (int i = 0; i < kItems; ++i)
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sums[i][v] += p[i * n + j] * row[v];
  }
#pragma GCC unroll 4
  for (int i = 0; i < kItems; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) store(out + i * width + d + 8 * v, sums[i][v]);
}

MAGRPO_INLINE void combine(const float* p, const float* rows, int64_t width, int64_t n, Visible keys, float* out) {
  int64_t d = 0;
  for (; d + 16 <= width; d += 16) combine_columns<2>(p, rows, width, n, keys, d, out);
  if (d < width) combine_columns<1>(p, rows, width, n, keys, d, out);
}

// rows[j][d] += Σ_i p[i][j] · x[i][d].
template <int vectors>
MAGRPO_INLINE void spread_columns(const float* p, const float* x, int64_t width, int64_t n, Visible keys, int64_t d, float* rows) {
  Eight factors[kItems][vectors];
#pragma GCC unroll 4
  for (int i = 0; i < kItems; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) factors[i][v] = load(x + i * width + d + 8 * v);
  for (int64_t j = keys.first; j < keys.last; ++j) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      Eight row = load(rows + j * width + d + 8 * v);
#pragma GCC unroll 4
      for (int i = 0; i < kItems; ++i) row += p[i * n + j] * factors[i][v];
      store(rows + j * width + d + 8 * v, row);
    }
  }
}

MAGRPO_INLINE void spread(const float* p, const float* x, int64_t width, int64_t n, Visible keys, float* rows) {
  int64_t d = 0;
  for (; d + 16 <= width; d += 16) spread_columns<2>(p, x, width, n, keys, d, rows);
  if (d < width) spread_columns<1>(p, x, width, n, keys, d, rows);
}

// Up to four queries of a span that share a KV head.
struct Block {
  int count;
  int64_t row[kItems];   // of q and out
  int64_t head[kItems];
  Visible own[kItems];   // keys that each sees
  Visible all;           // keys that any sees, multiples of kStride
};

// Block number `number` of a span; its items are (position, head) pairs, heads first.
MAGRPO_INLINE Block block_of(const AttentionShape& shape, const QuerySpan& span, int64_t kv_head, int64_t number) {
  const int64_t fold = shape.heads / shape.kv_heads;
  Block block{};
  block.all = {span.position + span.length, 0};
  block.count = static_cast<int>(std::min<int64_t>(kItems, span.length * fold - number * kItems));
  for (int i = 0; i < block.count; ++i) {
    const int64_t item = number * kItems + i;
    block.row[i] = span.begin + item / fold;
    block.head[i] = kv_head * fold + item % fold;
    block.own[i] = visible(span.position + item / fold, shape.window);
    block.all = {std::min(block.all.first, block.own[i].first), std::max(block.all.last, block.own[i].last)};
  }
  block.all = {block.all.first / kStride * kStride, padded(block.all.last, kStride)};
  return block;
}

MAGRPO_INLINE int64_t blocks_of(const AttentionShape& shape, const QuerySpan& span) {
  return (span.length * (shape.heads / shape.kv_heads) + kItems - 1) / kItems;
}

// Scores that an item does not see count nothing; items that do not exist see nothing.
MAGRPO_INLINE void mask(const Block& block, int64_t n, float* scores) {
  for (int i = 0; i < kItems; ++i) {
    float* own = scores + i * n;
    const Visible keys = i < block.count ? block.own[i] : Visible{block.all.first, block.all.first};
    std::fill(own + block.all.first, own + keys.first, -INFINITY);
    std::fill(own + keys.last, own + block.all.last, -INFINITY);
  }
}

// The block's rows of a (N, ..) tensor, padded with zeros: items[i][d].
MAGRPO_INLINE void take_items(const Block& block, const float* source, int64_t stride, int64_t dim, float* items) {
  const int64_t width = padded(dim, 8);
  std::fill(items, items + kItems * width, 0.0f);
  for (int i = 0; i < block.count; ++i) {
    const float* from = source + block.row[i] * stride + block.head[i] * dim;
    std::copy(from, from + dim, items + i * width);
  }
}

}  // namespace

int64_t longest_context(const QuerySpan* spans, int64_t span_count) {
  int64_t longest = 0;
  for (int64_t s = 0; s < span_count; ++s) longest = std::max(longest, spans[s].position + spans[s].length);
  return longest;
}

int64_t forward_scratch(const AttentionShape& shape, int64_t context) {
  return std::max(padded(context, kStride) * (2 * padded(shape.head_dim, 8) + kItems) + 2 * kItems * padded(shape.head_dim, 8),
                  row_attention_scratch(shape, 1, 1, context));
}

int64_t backward_scratch(const AttentionShape& shape, int64_t context) {
  return padded(context, kStride) * (5 * padded(shape.head_dim, 8) + 2 * kItems) + 3 * kItems * padded(shape.head_dim, 8);
}

MAGRPO_SIMD_CLONES
void tree_attention_forward(const AttentionShape& shape, const AttentionPointers& data, const QuerySpan* spans,
                            const KeyRange* ranges, int64_t begin, int64_t end, int64_t kv_head, float* scratch) {
  const int64_t dim = shape.head_dim, width = padded(dim, 8);
  for (int64_t s = begin; s < end; ++s) {
    const QuerySpan& span = spans[s];
    if (span.length == 1) {
      row_attention(shape, data, spans, ranges, s, s + 1, kv_head, kv_head + 1, scratch);
      continue;
    }
    const int64_t context = span.position + span.length, n = padded(context, kStride);
    float* keys_t = scratch;
    float* values = keys_t + width * n;
    float* scores = values + width * n;
    float* queries = scores + kItems * n;
    float* outputs = queries + kItems * width;
    gather(data.k + kv_head * dim, shape.k_stride, dim, ranges, span.range_begin, span.range_end, context, nullptr, keys_t);
    gather(data.v + kv_head * dim, shape.v_stride, dim, ranges, span.range_begin, span.range_end, context, values, nullptr);
    for (int64_t number = 0; number < blocks_of(shape, span); ++number) {
      const Block block = block_of(shape, span, kv_head, number);
      take_items(block, data.q, shape.q_stride, dim, queries);
      project(queries, keys_t, dim, n, block.all, shape.scale, scores);
      mask(block, n, scores);
      float inverse[kItems];
      for (int i = 0; i < kItems; ++i) {
        const bool exists = i < block.count;
        const float highest = exists ? largest(scores + i * n, block.own[i]) : 0.0f;
        const float total = exponentiate(scores + i * n, block.all, highest);
        inverse[i] = 1.0f / total;
        if (exists && data.lse != nullptr) data.lse[block.row[i] * shape.heads + block.head[i]] = highest + std::log(total);
      }
      combine(scores, values, width, n, block.all, outputs);
      for (int i = 0; i < block.count; ++i) {
        float* out = data.out + (block.row[i] * shape.heads + block.head[i]) * dim;
        for (int64_t d = 0; d < dim; ++d) out[d] = inverse[i] * outputs[i * width + d];
      }
    }
  }
}

// With p = exp(s - lse), dp = dO·v and delta = dO·O:  ds = p (dp - delta), dq = Σ ds k, dk += ds q, dv += p dO.
MAGRPO_SIMD_CLONES
void tree_attention_backward(const AttentionShape& shape, const AttentionPointers& data, const AttentionGradients& gradients,
                             const QuerySpan* spans, const KeyRange* ranges, int64_t begin, int64_t end, int64_t kv_head,
                             float* scratch) {
  const int64_t dim = shape.head_dim, width = padded(dim, 8);
  for (int64_t s = begin; s < end; ++s) {
    const QuerySpan& span = spans[s];
    const int64_t context = span.position + span.length, n = padded(context, kStride);
    float* keys = scratch;
    float* keys_t = keys + width * n;
    float* values_t = keys_t + width * n;
    float* d_keys = values_t + width * n;
    float* d_values = d_keys + width * n;
    float* p = d_values + width * n;
    float* d_scores = p + kItems * n;
    float* queries = d_scores + kItems * n;
    float* d_outputs = queries + kItems * width;
    float* d_queries = d_outputs + kItems * width;
    gather(data.k + kv_head * dim, shape.k_stride, dim, ranges, span.range_begin, span.range_end, context, keys, keys_t);
    gather(data.v + kv_head * dim, shape.v_stride, dim, ranges, span.range_begin, span.range_end, context, nullptr, values_t);
    std::fill(d_keys, d_keys + 2 * width * n, 0.0f);
    for (int64_t number = 0; number < blocks_of(shape, span); ++number) {
      const Block block = block_of(shape, span, kv_head, number);
      take_items(block, data.q, shape.q_stride, dim, queries);
      take_items(block, gradients.d_out, shape.heads * dim, dim, d_outputs);
      project(queries, keys_t, dim, n, block.all, shape.scale, p);
      mask(block, n, p);
      project(d_outputs, values_t, dim, n, block.all, 1.0f, d_scores);
      for (int i = 0; i < kItems; ++i) {
        float* own_p = p + i * n;
        float* own_d = d_scores + i * n;
        float delta = 0.0f, lse = 0.0f;
        if (i < block.count) {
          const float* out = data.out + (block.row[i] * shape.heads + block.head[i]) * dim;
          for (int64_t d = 0; d < dim; ++d) delta += d_outputs[i * width + d] * out[d];
          lse = data.lse[block.row[i] * shape.heads + block.head[i]];
        }
        exponentiate(own_p, block.all, lse);
#pragma omp simd
        for (int64_t j = block.all.first; j < block.all.last; ++j) own_d[j] = shape.scale * own_p[j] * (own_d[j] - delta);
      }
      combine(d_scores, keys, width, n, block.all, d_queries);
      for (int i = 0; i < block.count; ++i) {
        const float* from = d_queries + i * width;
        std::copy(from, from + dim, gradients.d_q + (block.row[i] * shape.heads + block.head[i]) * dim);
      }
      spread(d_scores, queries, width, n, block.all, d_keys);
      spread(p, d_outputs, width, n, block.all, d_values);
    }
    const int64_t kv_width = shape.kv_heads * dim;
    scatter_add(d_keys, kv_width, dim, ranges, span.range_begin, span.range_end, context, gradients.d_k + kv_head * dim);
    scatter_add(d_values, kv_width, dim, ranges, span.range_begin, span.range_end, context, gradients.d_v + kv_head * dim);
  }
}

}  // namespace magrpo::kernels
