#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/simd/softmax.h"
#include "kernels/simd/vector.h"
#include "kernels/tree_attention/tree_attention.h"

// Reads keys and values in place: a copy would serve one step only. All heads process a block of keys before the next one is read, since
// consecutive keys of one head are far apart in the cache. Rows that share leading ranges (the samples of a prompt) process a block
// together. Every query's sums run over its keys in the order of its text, so a row alone equals the row in a batch, bit for bit.
namespace magrpo::kernels {
namespace {

// Keys per block: those of all heads fit L2 beside the next block's.
constexpr int64_t kBlockKeys = 16;

// The queries of one KV head with their results; query i is head i % fold of span i / fold.
struct Queries {
  float* q;        // (queries, dim)
  float* out;      // (queries, dim)
  float* scores;   // (queries, context), then exp(score - highest), of keys in the order of the text
  float* inverse;  // (queries): one over the sum of a query's exponentials
  int64_t dim, context;
};

// Keys or values of one KV head, consecutive in the text.
struct Keys {
  const float* from;
  int64_t stride;  // in floats, from key to key
  int64_t count;
  int64_t position;
};

// scores = scale · q·k for a tile of queries and keys.
template <int bytes, int queries, int keys>
MAGRPO_INLINE void score_tile(const Queries& to, int64_t query, const Keys& k, int64_t key, float scale) {
  using V = Vector<bytes>;
  const float* q = to.q + query * to.dim;
  const float* from = k.from + key * k.stride;
  typename V::Floats sums[queries][keys] = {};
  int64_t d = 0;
  for (; d + V::kWidth <= to.dim; d += V::kWidth) {
    typename V::Floats b[keys];
#pragma GCC unroll 8
    for (int j = 0; j < keys; ++j) load<bytes>(from + j * k.stride + d, b[j]);
#pragma GCC unroll 8
    for (int i = 0; i < queries; ++i) {
      typename V::Floats a;
      load<bytes>(q + i * to.dim + d, a);
#pragma GCC unroll 8
      for (int j = 0; j < keys; ++j) sums[i][j] += a * b[j];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < queries; ++i) {
    Four sum = add_across<bytes, keys>(sums[i]);
    for (int64_t rest = d; rest < to.dim; ++rest)
      for (int j = 0; j < keys; ++j) sum[j] += q[i * to.dim + rest] * from[j * k.stride + rest];
    sum *= scale;
    std::memcpy(to.scores + (query + i) * to.context + k.position + key, &sum, keys * sizeof(float));
  }
}

template <int bytes, int queries>
MAGRPO_INLINE void score_keys(const Queries& to, int64_t query, const Keys& k, float scale) {
  int64_t key = 0;
  for (; key + 4 <= k.count; key += 4) score_tile<bytes, queries, 4>(to, query, k, key, scale);
  for (; key < k.count; ++key) score_tile<bytes, queries, 1>(to, query, k, key, scale);
}

// out[.., d ..] += Σ_j scores[.., j] · values[j][d ..] for a tile of queries and vectors.
template <int bytes, int queries, int vectors>
MAGRPO_INLINE void value_tile(const Queries& to, int64_t query, const Keys& v, int64_t d) {
  using V = Vector<bytes>;
  const float* p = to.scores + query * to.context + v.position;
  float* out = to.out + query * to.dim + d;
  typename V::Floats sums[queries][vectors];
#pragma GCC unroll 8
  for (int i = 0; i < queries; ++i)
#pragma GCC unroll 8
    for (int c = 0; c < vectors; ++c) load<bytes>(out + i * to.dim + c * V::kWidth, sums[i][c]);
  for (int64_t j = 0; j < v.count; ++j) {
    typename V::Floats b[vectors];
#pragma GCC unroll 8
    for (int c = 0; c < vectors; ++c) load<bytes>(v.from + j * v.stride + d + c * V::kWidth, b[c]);
#pragma GCC unroll 8
    for (int i = 0; i < queries; ++i)
#pragma GCC unroll 8
      for (int c = 0; c < vectors; ++c) sums[i][c] += p[i * to.context + j] * b[c];
  }
#pragma GCC unroll 8
  for (int i = 0; i < queries; ++i)
#pragma GCC unroll 8
    for (int c = 0; c < vectors; ++c) store<bytes>(sums[i][c], out + i * to.dim + c * V::kWidth);
}

template <int bytes, int queries>
MAGRPO_INLINE void add_values(const Queries& to, int64_t query, const Keys& v) {
  constexpr int width = Vector<bytes>::kWidth;
  int64_t d = 0;
  for (; d + 4 * width <= to.dim; d += 4 * width) value_tile<bytes, queries, 4>(to, query, v, d);
  for (; d + width <= to.dim; d += width) value_tile<bytes, queries, 1>(to, query, v, d);
  for (; d < to.dim; ++d)
    for (int64_t i = query; i < query + queries; ++i)
      for (int64_t j = 0; j < v.count; ++j) to.out[i * to.dim + d] += to.scores[i * to.context + v.position + j] * v.from[j * v.stride + d];
}

// Calls tile<queries>(first) for tiles that cover [begin, end).
template <int most, class Tile>
MAGRPO_INLINE void for_query_tiles(int64_t begin, int64_t end, const Tile& tile) {
  int64_t query = begin;
  for (; query + most <= end; query += most) tile.template operator()<most>(query);
  for (; query + 2 <= end; query += 2) tile.template operator()<2>(query);
  if (query < end) tile.template operator()<1>(query);
}

bool same(const KeyRange& a, const KeyRange& b) { return a.begin == b.begin && a.length == b.length && a.position == b.position; }

// Number of leading ranges that all spans share and see completely; 0 for a single span, which has nothing to share.
int64_t shared_ranges(const QuerySpan* spans, const KeyRange* ranges, int64_t begin, int64_t end) {
  if (end - begin < 2) return 0;
  int64_t shared = spans[begin].range_end - spans[begin].range_begin, seen = spans[begin].position + 1;
  for (int64_t s = begin + 1; s < end; ++s) {
    seen = std::min(seen, spans[s].position + 1);
    shared = std::min(shared, spans[s].range_end - spans[s].range_begin);
    for (int64_t r = 0; r < shared; ++r)
      if (!same(ranges[spans[begin].range_begin + r], ranges[spans[s].range_begin + r])) shared = r;
  }
  for (int64_t r = 0; r < shared; ++r)
    if (const KeyRange& range = ranges[spans[begin].range_begin + r]; range.position + range.length > seen) return r;
  return shared;
}

// A block of keys that the queries [first, last) of each KV head process together.
struct Block {
  int64_t slot, keys, position;
  int64_t first, last;
};

// One call: spans of one query each, and a range of KV heads.
struct RowAttention {
  const AttentionShape& shape;
  const AttentionPointers& data;
  const QuerySpan* spans;
  const KeyRange* ranges;
  int64_t begin, end, kv_begin, kv_end;
  float* scratch;
  int64_t fold = shape.heads / shape.kv_heads;
  int64_t count = (end - begin) * fold;  // queries per KV head
  int64_t context = longest_context(spans + begin, end - begin);

  Queries queries(int64_t kv) const {
    const int64_t dim = shape.head_dim;
    float* q = scratch + (kv - kv_begin) * count * (2 * dim + context + 1);
    return {q, q + count * dim, q + 2 * count * dim, q + count * (2 * dim + context), dim, context};
  }

  // Calls work(block, next block) for the keys that queries see, in the order of each query's text.
  template <class Work>
  MAGRPO_INLINE void for_keys(const Work& work) const {
    Block block{};
    const auto visit = [&](const KeyRange& range, Visible seen, int64_t first, int64_t last) __attribute__((always_inline)) {
      const int64_t end_key = std::min(range.length, seen.last - range.position);
      for (int64_t key = std::max<int64_t>(0, seen.first - range.position); key < end_key; key += kBlockKeys) {
        const Block next{range.begin + key, std::min(kBlockKeys, end_key - key), range.position + key, first, last};
        if (block.keys > 0) work(block, next);
        block = next;
      }
    };
    const int64_t shared = shared_ranges(spans, ranges, begin, end);
    // A shared key outside a span's window gets weight 0 in that span.
    Visible seen{std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::max()};
    for (int64_t s = begin; s < end; ++s) seen.first = std::min(seen.first, visible(spans[s].position, shape.window).first);
    for (int64_t r = 0; r < shared; ++r) visit(ranges[spans[begin].range_begin + r], seen, 0, count);
    for (int64_t s = begin; s < end; ++s)
      for (int64_t r = spans[s].range_begin + shared; r < spans[s].range_end; ++r)
        visit(ranges[r], visible(spans[s].position, shape.window), (s - begin) * fold, (s - begin + 1) * fold);
    if (block.keys > 0) work(block, Block{});
  }

  // Prefetches the next block into L2 while this one is computed: a row's keys are a few kilobytes, too few for the hardware prefetcher.
  // Prefetching into L1 gains nothing.
  MAGRPO_INLINE void prefetch_block(const float* keys, int64_t stride, const Block& block, int64_t kv) const {
    constexpr int64_t kLine = 64 / sizeof(float);  // floats per cache line
    const float* from = keys + block.slot * stride + kv * shape.head_dim;
    for (int64_t j = 0; j < block.keys; ++j)
      for (int64_t d = 0; d < shape.head_dim; d += kLine) __builtin_prefetch(from + j * stride + d, 0, 2);
  }

  void read_queries() const {
    for (int64_t kv = kv_begin; kv < kv_end; ++kv) {
      const Queries to = queries(kv);
      const int64_t size = fold * to.dim;
      for (int64_t s = begin; s < end; ++s)
        std::copy_n(data.q + spans[s].begin * shape.q_stride + kv * size, size, to.q + (s - begin) * size);
      std::fill_n(to.out, count * to.dim, 0.0f);
    }
  }

  // Calls tile<queries>(queries of a KV head, first query, keys) for all blocks of keys or values at `from`.
  template <int most, class Tile>
  MAGRPO_INLINE void for_tiles(const float* from, int64_t stride, const Tile& tile) const {
    for_keys([&](const Block& block, const Block& next) __attribute__((always_inline)) {
      for (int64_t kv = kv_begin; kv < kv_end; ++kv) {
        const Queries to = queries(kv);
        const Keys keys{from + block.slot * stride + kv * to.dim, stride, block.keys, block.position};
        prefetch_block(from, stride, next, kv);
        for_query_tiles<most>(block.first, block.last, [&]<int size>(int64_t query) __attribute__((always_inline)) {
          tile.template operator()<size>(to, query, keys);
        });
      }
    });
  }

  MAGRPO_INLINE void exponentials() const {
    for (int64_t kv = kv_begin; kv < kv_end; ++kv) {
      const Queries to = queries(kv);
      for (int64_t query = 0; query < count; ++query) {
        const QuerySpan& span = spans[begin + query / fold];
        const Visible seen = visible(span.position, shape.window);
        float* scores = to.scores + query * to.context;
        const float highest = largest(scores, seen), total = exponentiate(scores, seen, highest);
        std::fill_n(scores, seen.first, 0.0f);
        to.inverse[query] = 1.0f / total;
        if (data.lse != nullptr) data.lse[span.begin * shape.heads + kv * fold + query % fold] = highest + std::log(total);
      }
    }
  }

  void write_out() const {
    for (int64_t kv = kv_begin; kv < kv_end; ++kv) {
      const Queries from = queries(kv);
      for (int64_t query = 0; query < count; ++query) {
        const int64_t row = spans[begin + query / fold].begin, head = kv * fold + query % fold;
        float* out = data.out + (row * shape.heads + head) * from.dim;
        for (int64_t d = 0; d < from.dim; ++d) out[d] = from.inverse[query] * from.out[query * from.dim + d];
      }
    }
  }

  template <int bytes, int most>
  MAGRPO_INLINE void run() const {
    read_queries();
    for_tiles<most>(data.k, shape.k_stride,
                    [&]<int size>(const Queries& to, int64_t query, const Keys& keys)
                        __attribute__((always_inline)) { score_keys<bytes, size>(to, query, keys, shape.scale); });
    exponentials();
    for_tiles<most>(data.v, shape.v_stride,
                    [&]<int size>(const Queries& to, int64_t query, const Keys& values)
                        __attribute__((always_inline)) { add_values<bytes, size>(to, query, values); });
    write_out();
  }
};

template <int bytes, int most>
MAGRPO_INLINE void run(const RowAttention& work) {
  work.run<bytes, most>();
}

}  // namespace

int64_t rows_scratch(const AttentionShape& shape, int64_t rows, int64_t kv_heads, int64_t context) {
  return rows * shape.heads / shape.kv_heads * kv_heads * (2 * shape.head_dim + context + 1);
}

void tree_attention_rows(const AttentionShape& shape, const AttentionPointers& data, const QuerySpan* spans, const KeyRange* ranges,
                         int64_t begin, int64_t end, int64_t kv_begin, int64_t kv_end, float* scratch) {
  // Tiles that fill the registers of each level beside the keys' vectors.
  dispatch<run<64, 4>, run<32, 2>, run<16, 2>>(RowAttention{shape, data, spans, ranges, begin, end, kv_begin, kv_end, scratch});
}

}  // namespace magrpo::kernels
