#include <cmath>

#include "kernels/cuda.h"
#include "kernels/tree_attention/plan.h"

// A block of four warps holds some items (queries of heads that share keys) and iterates over tiles of keys with an online softmax
// (Milakov & Gimelshein 2018; Dao et al. 2022). Scores use one thread per (item, key) pair, sums over keys one lane per dimension.
// Tiles start at multiples of their size in the text, and masked keys add zero, so an item's result does not depend on the rest of the
// batch. Gradients are computed twice, once for queries and once for keys, which avoids atomics.
namespace magrpo::kernels {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;

// kDims: dimensions of a head in units of a warp, rounded up.
template <int items, int keys, int dims>
struct Tile {
  static constexpr int kItems = items, kKeys = keys, kDims = dims;
};

__device__ int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
__device__ int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

__device__ bool sees(const AttentionShape& shape, int64_t query, int64_t key) {
  return key <= query && (shape.window <= 0 || query - key < shape.window);
}

// The slot of the key at `position` of a path.
__device__ int64_t slot_at(const QuerySpan& span, const KeyRange* ranges, int64_t position) {
  int64_t r = span.range_begin;
  while (r + 1 < span.range_end && position >= ranges[r + 1].position) ++r;
  return ranges[r].begin + position - ranges[r].position;
}

// Copies keys or values to rows[j][d], D + 1 floats apart so that lanes hit different banks; slot -1 gives zeros.
template <int count>
__device__ void load_keys(const float* source, int64_t stride, int64_t kv_head, int dim, const int* slots, float* rows) {
  for (int at = threadIdx.x; at < count * dim; at += kThreads) {
    const int j = at / dim, d = at % dim;
    rows[j * (dim + 1) + d] = slots[j] < 0 ? 0.0f : source[slots[j] * stride + kv_head * dim + d];
  }
}

// Items from `first` of a span, of a (N, H x D) array; those beyond `count` are zeros.
template <int items>
__device__ void load_items(const AttentionShape& shape, const QuerySpan& span, const float* source, int64_t stride, int64_t kv_head,
                           int64_t first, int64_t count, float* rows) {
  const int64_t fold = shape.heads / shape.kv_heads;
  const int dim = static_cast<int>(shape.head_dim);
  for (int at = threadIdx.x; at < items * dim; at += kThreads) {
    const int64_t item = first + at / dim;
    const int64_t head = kv_head * fold + item % fold;
    rows[at] = at / dim < count ? source[(span.begin + item / fold) * stride + head * dim + at % dim] : 0.0f;
  }
}

__device__ float dot(const float* a, const float* b, int dim) {
  float sum = 0.0f;
  for (int d = 0; d < dim; ++d) sum += a[d] * b[d];
  return sum;
}

// The slots of `count` keys from position `base`, up to `end`.
template <int count>
__device__ void find_slots(const QuerySpan& span, const KeyRange* ranges, int64_t base, int64_t end, int* slots) {
  if (threadIdx.x < count) {
    const int64_t position = base + threadIdx.x;
    slots[threadIdx.x] = position < end ? static_cast<int>(slot_at(span, ranges, position)) : -1;
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(AttentionShape shape, AttentionPointers data, AttentionPlanView plan, float* partials) {
  const AttentionTask task = plan.tasks[blockIdx.x];
  const QuerySpan span = plan.spans[task.span];
  const int64_t kv_head = blockIdx.y, fold = shape.heads / shape.kv_heads;
  const int dim = static_cast<int>(shape.head_dim), warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int count = static_cast<int>(smaller(T::kItems, span.length * fold - task.item));
  const int64_t first_query = span.position + task.item / fold, last_query = span.position + (task.item + count - 1) / fold;

  float* tile = shared_memory();
  float* queries = tile + T::kKeys * (dim + 1);
  float* p = queries + T::kItems * dim;
  int* slots = reinterpret_cast<int*>(p + T::kItems * T::kKeys);

  constexpr int kOwn = T::kItems / kWarps;  // items of a warp
  float highest[kOwn], total[kOwn], sums[kOwn][T::kDims];
  for (int i = 0; i < kOwn; ++i) {
    highest[i] = -INFINITY;
    total[i] = 0.0f;
    for (int m = 0; m < T::kDims; ++m) sums[i][m] = 0.0f;
  }
  load_items<T::kItems>(shape, span, data.q, shape.q_stride, kv_head, task.item, count, queries);

  const int64_t seen_from = shape.window > 0 ? larger(0, first_query - shape.window + 1) : 0;
  const int64_t begin = larger(task.key_begin, seen_from / T::kKeys * T::kKeys), end = smaller(task.key_end, last_query + 1);
  for (int64_t base = begin; base < end; base += T::kKeys) {
    __syncthreads();
    find_slots<T::kKeys>(span, plan.ranges, base, end, slots);
    __syncthreads();
    load_keys<T::kKeys>(data.k, shape.k_stride, kv_head, dim, slots, tile);
    __syncthreads();
    for (int at = threadIdx.x; at < T::kItems * T::kKeys; at += kThreads) {
      const int i = at / T::kKeys, j = at % T::kKeys;
      const bool visible = i < count && base + j < end && sees(shape, span.position + (task.item + i) / fold, base + j);
      p[at] = visible ? shape.scale * dot(queries + i * dim, tile + j * (dim + 1), dim) : -INFINITY;
    }
    __syncthreads();
    load_keys<T::kKeys>(data.v, shape.v_stride, kv_head, dim, slots, tile);
    for (int i = 0; i < kOwn; ++i) {
      float* scores = p + (warp * kOwn + i) * T::kKeys;
      const float score = lane < T::kKeys ? scores[lane] : -INFINITY;
      const float now = fmaxf(highest[i], warp_max(score));
      const float e = now == -INFINITY ? 0.0f : expf(score - now);
      const float factor = now == -INFINITY ? 1.0f : expf(highest[i] - now);
      total[i] = total[i] * factor + warp_sum(e);
      highest[i] = now;
      for (int m = 0; m < T::kDims; ++m) sums[i][m] *= factor;
      if (lane < T::kKeys) scores[lane] = e;
    }
    __syncthreads();
    for (int j = 0; j < T::kKeys; ++j)
      for (int m = 0; m < T::kDims; ++m) {
        const int d = lane + m * kWarp;
        const float value = d < dim ? tile[j * (dim + 1) + d] : 0.0f;
        for (int i = 0; i < kOwn; ++i) sums[i][m] += p[(warp * kOwn + i) * T::kKeys + j] * value;
      }
  }

  for (int i = 0; i < kOwn; ++i) {
    const int number = warp * kOwn + i;
    if (number >= count) continue;
    const int64_t item = task.item + number, row = (span.begin + item / fold) * shape.heads + kv_head * fold + item % fold;
    const bool whole = task.part < 0;
    // Without parts there are no partials to point into.
    float* part = whole ? nullptr : partials + ((task.part * shape.kv_heads + kv_head) * T::kItems + number) * (dim + 2);
    float* out = whole ? data.out + row * dim : part;
    const float inverse = whole ? 1.0f / total[i] : 1.0f;
    for (int m = 0; m < T::kDims; ++m)
      if (lane + m * kWarp < dim) out[lane + m * kWarp] = sums[i][m] * inverse;
    if (lane != 0) continue;
    if (!whole) {
      part[dim] = highest[i];
      part[dim + 1] = total[i];
    } else if (data.lse != nullptr) {
      data.lse[row] = highest[i] + logf(total[i]);
    }
  }
}

// One warp per item: rescales its parts to one maximum and adds them in the order of the text.
__global__ void merge_kernel(AttentionShape shape, AttentionPointers data, AttentionPlanView plan, const float* partials) {
  const AttentionMerge merge = plan.merges[blockIdx.x];
  const QuerySpan span = plan.spans[merge.span];
  const int dim = static_cast<int>(shape.head_dim), lane = threadIdx.x, items = items_per_block(shape.head_dim);
  const int64_t head = blockIdx.y, fold = shape.heads / shape.kv_heads, item = head % fold;
  const float* first =
      partials + (((merge.part + item / items * merge.parts) * shape.kv_heads + head / fold) * items + item % items) * (dim + 2);
  const int64_t step = shape.kv_heads * items * (dim + 2);
  float highest = -INFINITY, total = 0.0f;
  for (int64_t part = 0; part < merge.parts; ++part) highest = fmaxf(highest, first[part * step + dim]);
  for (int64_t part = 0; part < merge.parts; ++part) total += expf(first[part * step + dim] - highest) * first[part * step + dim + 1];
  const int64_t row = span.begin * shape.heads + head;
  for (int d = lane; d < dim; d += kWarp) {
    float sum = 0.0f;
    for (int64_t part = 0; part < merge.parts; ++part) sum += expf(first[part * step + dim] - highest) * first[part * step + d];
    data.out[row * dim + d] = sum / total;
  }
  if (lane == 0 && data.lse != nullptr) data.lse[row] = highest + logf(total);
}

// delta = dO·O of each (query, head): a warp each.
__global__ void delta_kernel(int64_t rows, int dim, const float* out, const float* d_out, float* delta) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (row >= rows) return;  // whole warps leave
  float sum = 0.0f;
  for (int d = threadIdx.x % kWarp; d < dim; d += kWarp) sum += out[row * dim + d] * d_out[row * dim + d];
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) delta[row] = sum;
}

// Shared memory of a backward block.
template <class T>
struct BackwardTile {
  float *keys, *values;       // (kKeys, D + 1)
  float *queries, *d_outs;    // (kItems, D)
  float *p, *d_scores;        // (kItems, kKeys)
  int* slots;                 // (kKeys)

  __device__ explicit BackwardTile(int dim) {
    keys = shared_memory();
    values = keys + T::kKeys * (dim + 1);
    queries = values + T::kKeys * (dim + 1);
    d_outs = queries + T::kItems * dim;
    p = d_outs + T::kItems * dim;
    d_scores = p + T::kItems * T::kKeys;
    slots = reinterpret_cast<int*>(d_scores + T::kItems * T::kKeys);
  }

  // p = exp(s - lse) and ds = scale p (dO·v - delta) for items [first, first + count) and the keys from position `base`.
  __device__ void score(const AttentionShape& shape, const AttentionPointers& data, const float* delta, const QuerySpan& span,
                        int64_t kv_head, int64_t first, int64_t count, int64_t base) {
    const int64_t fold = shape.heads / shape.kv_heads;
    const int dim = static_cast<int>(shape.head_dim);
    for (int at = threadIdx.x; at < T::kItems * T::kKeys; at += kThreads) {
      const int i = at / T::kKeys, j = at % T::kKeys;
      const int64_t item = first + i;
      const bool visible = i < count && slots[j] >= 0 && sees(shape, span.position + item / fold, base + j);
      p[at] = 0.0f;
      d_scores[at] = 0.0f;
      if (!visible) continue;
      const int64_t row = (span.begin + item / fold) * shape.heads + kv_head * fold + item % fold;
      const float score = shape.scale * dot(queries + i * dim, keys + j * (dim + 1), dim);
      p[at] = expf(score - data.lse[row]);
      d_scores[at] = shape.scale * p[at] * (dot(d_outs + i * dim, values + j * (dim + 1), dim) - delta[row]);
    }
  }
};

// dq of a task's items: Σ ds k over the keys they see.
template <class T>
__global__ void __launch_bounds__(kThreads)
    query_gradient_kernel(AttentionShape shape, AttentionPointers data, AttentionGradients gradients, AttentionPlanView plan,
                          const float* delta) {
  const AttentionTask task = plan.tasks[blockIdx.x];
  const QuerySpan span = plan.spans[task.span];
  const int64_t kv_head = blockIdx.y, fold = shape.heads / shape.kv_heads;
  const int dim = static_cast<int>(shape.head_dim), warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int64_t count = smaller(T::kItems, span.length * fold - task.item);
  const int64_t first_query = span.position + task.item / fold, last_query = span.position + (task.item + count - 1) / fold;
  BackwardTile<T> tile(dim);
  load_items<T::kItems>(shape, span, data.q, shape.q_stride, kv_head, task.item, count, tile.queries);
  load_items<T::kItems>(shape, span, gradients.d_out, shape.heads * shape.head_dim, kv_head, task.item, count, tile.d_outs);
  constexpr int kOwn = T::kItems / kWarps;
  float sums[kOwn][T::kDims] = {};
  const int64_t seen_from = shape.window > 0 ? larger(0, first_query - shape.window + 1) : 0;
  for (int64_t base = seen_from / T::kKeys * T::kKeys; base <= last_query; base += T::kKeys) {
    __syncthreads();
    find_slots<T::kKeys>(span, plan.ranges, base, last_query + 1, tile.slots);
    __syncthreads();
    load_keys<T::kKeys>(data.k, shape.k_stride, kv_head, dim, tile.slots, tile.keys);
    load_keys<T::kKeys>(data.v, shape.v_stride, kv_head, dim, tile.slots, tile.values);
    __syncthreads();
    tile.score(shape, data, delta, span, kv_head, task.item, count, base);
    __syncthreads();
    for (int j = 0; j < T::kKeys; ++j)
      for (int m = 0; m < T::kDims; ++m) {
        const int d = lane + m * kWarp;
        const float key = d < dim ? tile.keys[j * (dim + 1) + d] : 0.0f;
        for (int i = 0; i < kOwn; ++i) sums[i][m] += tile.d_scores[(warp * kOwn + i) * T::kKeys + j] * key;
      }
  }
  for (int i = 0; i < kOwn; ++i) {
    const int64_t item = task.item + warp * kOwn + i;
    if (warp * kOwn + i >= count) continue;
    float* d_q = gradients.d_q + ((span.begin + item / fold) * shape.heads + kv_head * fold + item % fold) * dim;
    for (int m = 0; m < T::kDims; ++m)
      if (lane + m * kWarp < dim) d_q[lane + m * kWarp] = sums[i][m];
  }
}

// dk = Σ ds q and dv = Σ p dO of a tile of keys, over all queries that see them, span after span.
template <class T>
__global__ void __launch_bounds__(kThreads) key_gradient_kernel(AttentionShape shape, AttentionPointers data, AttentionGradients gradients,
                                                                AttentionPlanView plan, const float* delta) {
  const KeyTile keys = plan.key_tiles[blockIdx.x];
  const int64_t kv_head = blockIdx.y, fold = shape.heads / shape.kv_heads;
  const int dim = static_cast<int>(shape.head_dim), warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  BackwardTile<T> tile(dim);
  if (threadIdx.x < T::kKeys) tile.slots[threadIdx.x] = threadIdx.x < keys.count ? static_cast<int>(keys.begin + threadIdx.x) : -1;
  __syncthreads();
  load_keys<T::kKeys>(data.k, shape.k_stride, kv_head, dim, tile.slots, tile.keys);
  load_keys<T::kKeys>(data.v, shape.v_stride, kv_head, dim, tile.slots, tile.values);
  constexpr int kOwn = T::kKeys / kWarps;
  float d_keys[kOwn][T::kDims] = {}, d_values[kOwn][T::kDims] = {};
  for (int64_t v = keys.viewer_begin; v < keys.viewer_end; ++v) {
    const QuerySpan span = plan.spans[plan.viewers[v]];
    // The first and last position of the span that sees any of the keys.
    const int64_t from = larger(0, keys.position - span.position);
    const int64_t to = shape.window > 0 ? smaller(span.length, keys.position + keys.count - 1 + shape.window - span.position) : span.length;
    for (int64_t first = from * fold / T::kItems * T::kItems; first < to * fold; first += T::kItems) {
      const int64_t count = smaller(T::kItems, span.length * fold - first);
      __syncthreads();
      load_items<T::kItems>(shape, span, data.q, shape.q_stride, kv_head, first, count, tile.queries);
      load_items<T::kItems>(shape, span, gradients.d_out, shape.heads * shape.head_dim, kv_head, first, count, tile.d_outs);
      __syncthreads();
      tile.score(shape, data, delta, span, kv_head, first, count, keys.position);
      __syncthreads();
      for (int i = 0; i < T::kItems; ++i)
        for (int m = 0; m < T::kDims; ++m) {
          const int d = lane + m * kWarp;
          const float query = d < dim ? tile.queries[i * dim + d] : 0.0f, d_out = d < dim ? tile.d_outs[i * dim + d] : 0.0f;
          for (int j = 0; j < kOwn; ++j) {
            d_keys[j][m] += tile.d_scores[i * T::kKeys + warp * kOwn + j] * query;
            d_values[j][m] += tile.p[i * T::kKeys + warp * kOwn + j] * d_out;
          }
        }
    }
  }
  for (int j = 0; j < kOwn; ++j) {
    if (warp * kOwn + j >= keys.count) continue;
    const int64_t at = ((keys.begin + warp * kOwn + j) * shape.kv_heads + kv_head) * dim;
    for (int m = 0; m < T::kDims; ++m) {
      const int d = lane + m * kWarp;
      if (d >= dim) continue;
      gradients.d_k[at + d] = d_keys[j][m];
      gradients.d_v[at + d] = d_values[j][m];
    }
  }
}

template <class T>
size_t forward_floats(int64_t dim) {
  return static_cast<size_t>(T::kKeys * (dim + 1) + T::kItems * dim + T::kItems * T::kKeys + T::kKeys);
}

template <class T>
size_t backward_floats(int64_t dim) {
  return static_cast<size_t>(2 * T::kKeys * (dim + 1) + 2 * T::kItems * dim + 2 * T::kItems * T::kKeys + T::kKeys);
}

// Calls work with the tile that fits a head size; plan.h has the block sizes.
template <typename Work>
void with_tile(int64_t dim, Work&& work) {
  if (dim <= 64) work(Tile<items_per_block(64), keys_per_block(64), 2>());
  else if (dim <= 128) work(Tile<items_per_block(128), keys_per_block(128), 4>());
  else work(Tile<items_per_block(kMaxHeadDimCuda), keys_per_block(kMaxHeadDimCuda), 8>());
}

dim3 grid_of(int64_t x, int64_t y) { return dim3(static_cast<unsigned>(x), static_cast<unsigned>(y)); }

}  // namespace

void tree_attention_forward_cuda(const AttentionShape& shape, const AttentionPointers& data, const AttentionPlanView& plan, float* partials,
                                 core::CudaStream stream) {
  if (plan.task_count == 0) return;
  with_tile(shape.head_dim, [&](auto tile) {
    using T = decltype(tile);
    launch(forward_kernel<T>, grid_of(plan.task_count, shape.kv_heads), kThreads, forward_floats<T>(shape.head_dim), stream, shape, data,
           plan, partials);
  });
  if (plan.merge_count > 0) launch(merge_kernel, grid_of(plan.merge_count, shape.heads), kWarp, 0, stream, shape, data, plan, partials);
}

void tree_attention_backward_cuda(const AttentionShape& shape, const AttentionPointers& data, const AttentionGradients& gradients,
                                  const AttentionPlanView& plan, int64_t queries, float* delta, core::CudaStream stream) {
  if (plan.task_count == 0) return;
  const int64_t rows = queries * shape.heads;
  launch(delta_kernel, grid_of((rows + kWarps - 1) / kWarps, 1), kThreads, 0, stream, rows, static_cast<int>(shape.head_dim), data.out,
         gradients.d_out, delta);
  with_tile(shape.head_dim, [&](auto tile) {
    using T = decltype(tile);
    const size_t floats = backward_floats<T>(shape.head_dim);
    launch(query_gradient_kernel<T>, grid_of(plan.task_count, shape.kv_heads), kThreads, floats, stream, shape, data, gradients, plan,
           delta);
    launch(key_gradient_kernel<T>, grid_of(plan.key_tile_count, shape.kv_heads), kThreads, floats, stream, shape, data, gradients, plan,
           delta);
  });
}

}  // namespace magrpo::kernels
