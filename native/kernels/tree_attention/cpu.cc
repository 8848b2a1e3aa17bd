#include <algorithm>
#include <cmath>

#include "kernels/simd/softmax.h"
#include "kernels/simd/vector.h"
#include "kernels/tree_attention/tree_attention.h"

// Works on a block of queries at a time: neighbours in a text, and the heads that share a KV head. Each loaded key serves the whole
// block, and products stay in registers. A path's keys and values are first gathered into contiguous memory; ranges that it shares with
// the previous path (a prompt, with its completions) are not gathered again. Every query's sums run over its own keys in the order of
// the text, whatever else is in the batch; keys that only other queries of the block see are masked.
namespace magrpo::kernels {
namespace {

constexpr int64_t padded(int64_t size, int64_t unit) { return (size + unit - 1) / unit * unit; }

// Queries per block, and the stride that keys are padded to, per vector size in bytes: they fill the registers.
template <int bytes>
inline constexpr int kItems = bytes == 64 ? 8 : 4;
template <int bytes>
inline constexpr int64_t kStride = 2 * Vector<bytes>::kWidth;

// The largest of all levels: scratch memory is sized before the level is known.
constexpr int64_t kMaxItems = kItems<64>, kMaxStride = kStride<64>, kMaxWidth = Vector<64>::kWidth;

// Floats of a row that holds D numbers; the padding is zero.
template <int bytes>
MAGRPO_INLINE int64_t padded_width(int64_t dim) {
  return padded(dim, Vector<bytes>::kWidth);
}

// Offset of key j in transposed keys: consecutive blocks of (D, stride).
template <int bytes>
MAGRPO_INLINE int64_t transposed_offset(int64_t j, int64_t dim) {
  return j / kStride<bytes> * kStride<bytes> * dim + j % kStride<bytes>;
}

// A path of one KV head: the keys that its last query sees, from the text's first on.
struct Path {
  const KeyRange* ranges;
  int64_t range_begin, range_end;
  int64_t context;

  int64_t count(int64_t range) const { return std::min(ranges[range].length, context - ranges[range].position); }
};

MAGRPO_INLINE Path make_path(const QuerySpan& span, const KeyRange* ranges) {
  return {ranges, span.range_begin, span.range_end, span.position + span.length};
}

// Number of leading ranges that two paths share and see completely.
MAGRPO_INLINE int64_t shared_ranges(const Path& a, const Path& b) {
  const int64_t most = std::min(a.range_end - a.range_begin, b.range_end - b.range_begin), seen = std::min(a.context, b.context);
  int64_t count = 0;
  for (; count < most; ++count) {
    const KeyRange &of_a = a.ranges[a.range_begin + count], &of_b = b.ranges[b.range_begin + count];
    if (of_a.begin != of_b.begin || of_a.length != of_b.length || of_a.position != of_b.position) break;
    if (of_a.position + of_a.length > seen) break;
  }
  return count;
}

// Copies the path's keys (or values) of one head, from range `first` on, to rows[j][d] and to the transposed layout; either may be null.
// Pads the last stride with zeros.
template <int bytes>
MAGRPO_INLINE void gather(const float* source, int64_t stride, int64_t dim, const Path& path, int64_t first, float* rows,
                          float* transposed) {
  const int64_t width = padded_width<bytes>(dim), end = padded(path.context, kStride<bytes>);
  for (int64_t r = path.range_begin + first; r < path.range_end; ++r) {
    const int64_t count = path.count(r), position = path.ranges[r].position;
    const float* from = source + path.ranges[r].begin * stride;
    if (rows != nullptr)
      for (int64_t j = 0; j < count; ++j) {
        float* to = rows + (position + j) * width;
        std::copy_n(from + j * stride, dim, to);
        std::fill(to + dim, to + width, 0.0f);
      }
    if (transposed != nullptr)
      for (int64_t j = 0, size; j < count; j += size) {
        const int64_t at = position + j;
        size = std::min(count - j, kStride<bytes> - at % kStride<bytes>);
        float* to = transposed + transposed_offset<bytes>(at, dim);
        for (int64_t d = 0; d < dim; ++d)
          for (int64_t k = 0; k < size; ++k) to[d * kStride<bytes> + k] = from[(j + k) * stride + d];
      }
  }
  if (rows != nullptr) std::fill(rows + path.context * width, rows + end * width, 0.0f);
  if (transposed != nullptr)
    for (int64_t j = path.context; j < end; ++j)
      for (int64_t d = 0; d < dim; ++d) transposed[transposed_offset<bytes>(j, dim) + d * kStride<bytes>] = 0.0f;
}

// Adds rows[j][d] to the path's slots, from range `first` on.
template <int bytes>
MAGRPO_INLINE void scatter_add(const float* rows, int64_t stride, int64_t dim, const Path& path, int64_t first, float* target) {
  for (int64_t r = path.range_begin + first; r < path.range_end; ++r) {
    const int64_t count = path.count(r);
    for (int64_t j = 0; j < count; ++j) {
      const float* from = rows + (path.ranges[r].position + j) * padded_width<bytes>(dim);
      float* to = target + (path.ranges[r].begin + j) * stride;
      for (int64_t d = 0; d < dim; ++d) to[d] += from[d];
    }
  }
}

// out[i][j] = scale · Σ_d x[i][d] · keys[j][d] for keys [first, last): whole strides of transposed keys. Rows of `out` are n
// floats apart.
template <int bytes>
MAGRPO_INLINE void scores_qk(const float* x, const float* transposed, int64_t dim, int64_t n, Visible keys, float scale, float* out) {
  using V = Vector<bytes>;
  constexpr int items = kItems<bytes>;
  const int64_t width = padded_width<bytes>(dim);
  for (int64_t j = keys.first; j < keys.last; j += kStride<bytes>) {
    const float* from = transposed + transposed_offset<bytes>(j, dim);
    typename V::Floats sums[items][2] = {};
    for (int64_t d = 0; d < dim; ++d) {
      typename V::Floats a, b;
      load<bytes>(from + d * kStride<bytes>, a);
      load<bytes>(from + d * kStride<bytes> + V::kWidth, b);
#pragma GCC unroll 8
      for (int i = 0; i < items; ++i) {
        sums[i][0] += x[i * width + d] * a;
        sums[i][1] += x[i * width + d] * b;
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < items; ++i) {
      store<bytes>(scale * sums[i][0], out + i * n + j);
      store<bytes>(scale * sums[i][1], out + i * n + j + V::kWidth);
    }
  }
}

// out[i][d] = Σ_j p[i][j] · rows[j][d], for `vectors` vectors from d on.
template <int bytes, int vectors>
MAGRPO_INLINE void weighted_sum_columns(const float* p, const float* rows, int64_t width, int64_t n, Visible keys, int64_t d, float* out) {
  using V = Vector<bytes>;
  constexpr int items = kItems<bytes>;
  typename V::Floats sums[items][vectors] = {};
  for (int64_t j = keys.first; j < keys.last; ++j) {
    typename V::Floats row[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) load<bytes>(rows + j * width + d + v * V::kWidth, row[v]);
#pragma GCC unroll 8
    for (int i = 0; i < items; ++i)
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sums[i][v] += p[i * n + j] * row[v];
  }
#pragma GCC unroll 8
  for (int i = 0; i < items; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) store<bytes>(sums[i][v], out + i * width + d + v * V::kWidth);
}

template <int bytes>
MAGRPO_INLINE void weighted_sum(const float* p, const float* rows, int64_t width, int64_t n, Visible keys, float* out) {
  constexpr int64_t pair = 2 * Vector<bytes>::kWidth;
  int64_t d = 0;
  for (; d + pair <= width; d += pair) weighted_sum_columns<bytes, 2>(p, rows, width, n, keys, d, out);
  if (d < width) weighted_sum_columns<bytes, 1>(p, rows, width, n, keys, d, out);
}

// rows[j][d] += Σ_i p[i][j] · x[i][d], for `vectors` vectors from d on.
template <int bytes, int vectors>
MAGRPO_INLINE void accumulate_outer_columns(const float* p, const float* x, int64_t width, int64_t n, Visible keys, int64_t d,
                                            float* rows) {
  using V = Vector<bytes>;
  constexpr int items = kItems<bytes>;
  typename V::Floats factors[items][vectors];
#pragma GCC unroll 8
  for (int i = 0; i < items; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) load<bytes>(x + i * width + d + v * V::kWidth, factors[i][v]);
  for (int64_t j = keys.first; j < keys.last; ++j) {
    typename V::Floats row[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) load<bytes>(rows + j * width + d + v * V::kWidth, row[v]);
#pragma GCC unroll 8
    for (int i = 0; i < items; ++i)
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) row[v] += p[i * n + j] * factors[i][v];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) store<bytes>(row[v], rows + j * width + d + v * V::kWidth);
  }
}

template <int bytes>
MAGRPO_INLINE void accumulate_outer(const float* p, const float* x, int64_t width, int64_t n, Visible keys, float* rows) {
  constexpr int64_t pair = 2 * Vector<bytes>::kWidth;
  int64_t d = 0;
  for (; d + pair <= width; d += pair) accumulate_outer_columns<bytes, 2>(p, x, width, n, keys, d, rows);
  if (d < width) accumulate_outer_columns<bytes, 1>(p, x, width, n, keys, d, rows);
}

// Queries of a span that share a KV head.
template <int bytes>
struct Block {
  int count;
  int64_t row[kItems<bytes>];  // of q and out
  int64_t head[kItems<bytes>];
  Visible own[kItems<bytes>];  // visible keys per query
  Visible all;                 // their union, in whole strides
};

// The block with this number in the span. Items are (position, head) pairs, heads first.
template <int bytes>
MAGRPO_INLINE Block<bytes> make_block(const AttentionShape& shape, const QuerySpan& span, int64_t kv_head, int64_t number) {
  constexpr int64_t items = kItems<bytes>, stride = kStride<bytes>;
  const int64_t fold = shape.heads / shape.kv_heads;
  Block<bytes> block{};
  block.all = {span.position + span.length, 0};
  block.count = static_cast<int>(std::min<int64_t>(items, span.length * fold - number * items));
  for (int i = 0; i < block.count; ++i) {
    const int64_t item = number * items + i;
    block.row[i] = span.begin + item / fold;
    block.head[i] = kv_head * fold + item % fold;
    block.own[i] = visible(span.position + item / fold, shape.window);
    block.all = {std::min(block.all.first, block.own[i].first), std::max(block.all.last, block.own[i].last)};
  }
  block.all = {block.all.first / stride * stride, padded(block.all.last, stride)};
  return block;
}

template <int bytes>
MAGRPO_INLINE int64_t block_count(const AttentionShape& shape, const QuerySpan& span) {
  return (span.length * (shape.heads / shape.kv_heads) + kItems<bytes> - 1) / kItems<bytes>;
}

// Sets scores of keys that an item does not see to -infinity. Missing items see no key.
template <int bytes>
MAGRPO_INLINE void mask(const Block<bytes>& block, int64_t n, float* scores) {
  for (int i = 0; i < kItems<bytes>; ++i) {
    float* own = scores + i * n;
    const Visible keys = i < block.count ? block.own[i] : Visible{block.all.first, block.all.first};
    std::fill(own + block.all.first, own + keys.first, -INFINITY);
    std::fill(own + keys.last, own + block.all.last, -INFINITY);
  }
}

// Copies the block's rows of a (N, ..) tensor to items[i][d], padded with zeros.
template <int bytes>
MAGRPO_INLINE void gather_items(const Block<bytes>& block, const float* source, int64_t stride, int64_t dim, float* items) {
  const int64_t width = padded_width<bytes>(dim);
  std::fill(items, items + kItems<bytes> * width, 0.0f);
  for (int i = 0; i < block.count; ++i) std::copy_n(source + block.row[i] * stride + block.head[i] * dim, dim, items + i * width);
}

// Arguments of the forward or backward pass of one KV head.
struct Pass {
  const AttentionShape& shape;
  const AttentionPointers& data;
  const QuerySpan* spans;
  const KeyRange* ranges;
  int64_t begin, end, kv_head;
  float* scratch;
};

template <int bytes>
MAGRPO_INLINE void forward(const Pass& pass) {
  constexpr int items = kItems<bytes>;
  const AttentionShape& shape = pass.shape;
  const AttentionPointers& data = pass.data;
  const int64_t dim = shape.head_dim, width = padded_width<bytes>(dim), head = pass.kv_head;
  const int64_t n = padded(longest_context(pass.spans + pass.begin, pass.end - pass.begin), kStride<bytes>);
  float* keys = pass.scratch;  // transposed
  float* values = keys + width * n;
  float* scores = values + width * n;
  float* queries = scores + items * n;
  float* outputs = queries + items * width;
  Path previous{};
  for (int64_t s = pass.begin; s < pass.end; ++s) {
    const QuerySpan& span = pass.spans[s];
    if (span.length == 1) {
      tree_attention_rows(shape, data, pass.spans, pass.ranges, s, s + 1, head, head + 1, pass.scratch);
      previous = {};  // the call used this scratch memory
      continue;
    }
    const Path path = make_path(span, pass.ranges);
    const int64_t first = shared_ranges(previous, path);
    gather<bytes>(data.k + head * dim, shape.k_stride, dim, path, first, nullptr, keys);
    gather<bytes>(data.v + head * dim, shape.v_stride, dim, path, first, values, nullptr);
    previous = path;
    for (int64_t number = 0; number < block_count<bytes>(shape, span); ++number) {
      const Block<bytes> block = make_block<bytes>(shape, span, head, number);
      gather_items<bytes>(block, data.q, shape.q_stride, dim, queries);
      scores_qk<bytes>(queries, keys, dim, n, block.all, shape.scale, scores);
      mask<bytes>(block, n, scores);
      float inverse[items];
      for (int i = 0; i < items; ++i) {
        const bool exists = i < block.count;
        const float highest = exists ? largest(scores + i * n, block.own[i]) : 0.0f;
        const float total = exponentiate(scores + i * n, block.all, highest);
        inverse[i] = 1.0f / total;
        if (exists && data.lse != nullptr) data.lse[block.row[i] * shape.heads + block.head[i]] = highest + std::log(total);
      }
      weighted_sum<bytes>(scores, values, width, n, block.all, outputs);
      for (int i = 0; i < block.count; ++i) {
        float* out = data.out + (block.row[i] * shape.heads + block.head[i]) * dim;
        for (int64_t d = 0; d < dim; ++d) out[d] = inverse[i] * outputs[i * width + d];
      }
    }
  }
}

// With p = exp(s - lse), dp = dO·v and delta = dO·O:  ds = p (dp - delta), dq = Σ ds k, dk += ds q, dv += p dO.
template <int bytes>
MAGRPO_INLINE void backward(const Pass& pass, const AttentionGradients& gradients) {
  constexpr int items = kItems<bytes>;
  const AttentionShape& shape = pass.shape;
  const AttentionPointers& data = pass.data;
  const int64_t dim = shape.head_dim, width = padded_width<bytes>(dim), head = pass.kv_head, kv_width = shape.kv_heads * dim;
  const int64_t n = padded(longest_context(pass.spans + pass.begin, pass.end - pass.begin), kStride<bytes>);
  float* keys = pass.scratch;
  float* transposed_keys = keys + width * n;
  float* transposed_values = transposed_keys + width * n;
  float* d_keys = transposed_values + width * n;
  float* d_values = d_keys + width * n;
  float* p = d_values + width * n;
  float* d_scores = p + items * n;
  float* queries = d_scores + items * n;
  float* d_outputs = queries + items * width;
  float* d_queries = d_outputs + items * width;
  Path previous{};
  // Gradients of keys that the next path does not share are complete.
  const auto flush_key_gradients = [&](int64_t first) __attribute__((always_inline)) {
    scatter_add<bytes>(d_keys, kv_width, dim, previous, first, gradients.d_k + head * dim);
    scatter_add<bytes>(d_values, kv_width, dim, previous, first, gradients.d_v + head * dim);
  };
  for (int64_t s = pass.begin; s < pass.end; ++s) {
    const QuerySpan& span = pass.spans[s];
    const Path path = make_path(span, pass.ranges);
    const int64_t first = shared_ranges(previous, path), range = path.range_begin + first;
    flush_key_gradients(first);
    gather<bytes>(data.k + head * dim, shape.k_stride, dim, path, first, keys, transposed_keys);
    gather<bytes>(data.v + head * dim, shape.v_stride, dim, path, first, nullptr, transposed_values);
    previous = path;
    const int64_t kept = range < path.range_end ? pass.ranges[range].position : path.context;
    const int64_t end = padded(path.context, kStride<bytes>);
    std::fill(d_keys + kept * width, d_keys + end * width, 0.0f);
    std::fill(d_values + kept * width, d_values + end * width, 0.0f);
    for (int64_t number = 0; number < block_count<bytes>(shape, span); ++number) {
      const Block<bytes> block = make_block<bytes>(shape, span, head, number);
      gather_items<bytes>(block, data.q, shape.q_stride, dim, queries);
      gather_items<bytes>(block, gradients.d_out, shape.heads * dim, dim, d_outputs);
      scores_qk<bytes>(queries, transposed_keys, dim, n, block.all, shape.scale, p);
      mask<bytes>(block, n, p);
      scores_qk<bytes>(d_outputs, transposed_values, dim, n, block.all, 1.0f, d_scores);
      for (int i = 0; i < items; ++i) {
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
      weighted_sum<bytes>(d_scores, keys, width, n, block.all, d_queries);
      for (int i = 0; i < block.count; ++i)
        std::copy_n(d_queries + i * width, dim, gradients.d_q + (block.row[i] * shape.heads + block.head[i]) * dim);
      accumulate_outer<bytes>(d_scores, queries, width, n, block.all, d_keys);
      accumulate_outer<bytes>(p, d_outputs, width, n, block.all, d_values);
    }
  }
  flush_key_gradients(0);
}

}  // namespace

int64_t longest_context(const QuerySpan* spans, int64_t span_count) {
  int64_t longest = 0;
  for (int64_t s = 0; s < span_count; ++s) longest = std::max(longest, spans[s].position + spans[s].length);
  return longest;
}

int64_t forward_scratch(const AttentionShape& shape, int64_t context) {
  const int64_t width = padded(shape.head_dim, kMaxWidth);
  return std::max(padded(context, kMaxStride) * (2 * width + kMaxItems) + 2 * kMaxItems * width, rows_scratch(shape, 1, 1, context));
}

int64_t backward_scratch(const AttentionShape& shape, int64_t context) {
  const int64_t width = padded(shape.head_dim, kMaxWidth);
  return padded(context, kMaxStride) * (5 * width + 2 * kMaxItems) + 3 * kMaxItems * width;
}

void tree_attention_forward(const AttentionShape& shape, const AttentionPointers& data, const QuerySpan* spans, const KeyRange* ranges,
                            int64_t begin, int64_t end, int64_t kv_head, float* scratch) {
  dispatch<forward<64>, forward<32>, forward<16>>(Pass{shape, data, spans, ranges, begin, end, kv_head, scratch});
}

void tree_attention_backward(const AttentionShape& shape, const AttentionPointers& data, const AttentionGradients& gradients,
                             const QuerySpan* spans, const KeyRange* ranges, int64_t begin, int64_t end, int64_t kv_head, float* scratch) {
  dispatch<backward<64>, backward<32>, backward<16>>(Pass{shape, data, spans, ranges, begin, end, kv_head, scratch}, gradients);
}

}  // namespace magrpo::kernels
