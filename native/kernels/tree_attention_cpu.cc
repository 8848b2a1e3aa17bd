#include <algorithm>
#include <cmath>

#include "kernels/exp.h"
#include "kernels/simd.h"
#include "kernels/tree_attention.h"

// Each query row is computed by itself and in a fixed order, so a result never depends on what else is in the batch. The inner
// loops run over keys, which lie side by side in transposed copies; a copy is shared by all queries of a span.
namespace magrpo::kernels {
namespace {

// Keys [first, last) of a path that a query at `position` sees.
struct Visible {
  int64_t first;
  int64_t last;
};

MAGRPO_INLINE Visible visible(int64_t position, int64_t window) {
  return {window > 0 ? std::max<int64_t>(0, position - window + 1) : 0, position + 1};
}

// Copies a path's keys (or values) of one head to transposed[d][n].
MAGRPO_INLINE void transpose(const float* source, int64_t stride, int64_t offset, int64_t dim, const KeyRange* ranges,
                             int64_t range_begin, int64_t range_end, int64_t context, float* transposed) {
  for (int64_t r = range_begin; r < range_end; ++r) {
    const int64_t count = std::min(ranges[r].length, context - ranges[r].position);
    for (int64_t j = 0; j < count; ++j) {
      const float* row = source + (ranges[r].begin + j) * stride + offset;
      float* column = transposed + ranges[r].position + j;
      for (int64_t d = 0; d < dim; ++d) column[d * context] = row[d];
    }
  }
}

// Adds transposed[d][n] to a path's rows.
MAGRPO_INLINE void add_transposed(const float* transposed, int64_t width, int64_t offset, int64_t dim, const KeyRange* ranges,
                                  int64_t range_begin, int64_t range_end, int64_t context, float* target) {
  for (int64_t r = range_begin; r < range_end; ++r) {
    const int64_t count = std::min(ranges[r].length, context - ranges[r].position);
    for (int64_t j = 0; j < count; ++j) {
      float* row = target + (ranges[r].begin + j) * width + offset;
      const float* column = transposed + ranges[r].position + j;
      for (int64_t d = 0; d < dim; ++d) row[d] += column[d * context];
    }
  }
}

// out[j] = scale · Σ_d x[d] · matrix[d][j] for the visible columns.
MAGRPO_INLINE void project(const float* x, const float* matrix, int64_t dim, int64_t context, Visible keys, float scale, float* out) {
  for (int64_t j = keys.first; j < keys.last; ++j) out[j] = 0.0f;
  for (int64_t d = 0; d < dim; ++d) {
    const float factor = scale * x[d];
    const float* row = matrix + d * context;
#pragma omp simd
    for (int64_t j = keys.first; j < keys.last; ++j) out[j] += factor * row[j];
  }
}

// Σ_j a[j] · b[j] over the visible columns.
MAGRPO_INLINE float dot(const float* a, const float* b, Visible keys) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = keys.first; j < keys.last; ++j) sum += a[j] * b[j];
  return sum;
}

// scores[j] becomes exp(scores[j] - highest); returns their sum.
MAGRPO_INLINE float exponentiate(float* scores, Visible keys, float highest) {
  float total = 0.0f;
#pragma omp simd reduction(+ : total)
  for (int64_t j = keys.first; j < keys.last; ++j) {
    scores[j] = fast_exp(scores[j] - highest);
    total += scores[j];
  }
  return total;
}

MAGRPO_INLINE float largest(const float* scores, Visible keys) {
  float highest = -INFINITY;
#pragma omp simd reduction(max : highest)
  for (int64_t j = keys.first; j < keys.last; ++j) highest = scores[j] > highest ? scores[j] : highest;
  return highest;
}

// One query: keys are read where they lie, as a copy would serve one row only.
MAGRPO_INLINE void single_query(const AttentionShape& shape, const AttentionPointers& data, const QuerySpan& span,
                                const KeyRange* ranges, int64_t kv_head, float* scores) {
  const int64_t dim = shape.head_dim;
  const int64_t fold = shape.heads / shape.kv_heads;
  const Visible keys = visible(span.position, shape.window);
  for (int64_t head = kv_head * fold; head < (kv_head + 1) * fold; ++head) {
    const float* q = data.q + span.begin * shape.q_stride + head * dim;
    for (int64_t r = span.range_begin; r < span.range_end; ++r) {
      const KeyRange& range = ranges[r];
      const int64_t first = std::max<int64_t>(0, keys.first - range.position);
      const int64_t last = std::min(range.length, keys.last - range.position);
      for (int64_t j = first; j < last; ++j) {
        const float* k = data.k + (range.begin + j) * shape.k_stride + kv_head * dim;
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t d = 0; d < dim; ++d) sum += q[d] * k[d];
        scores[range.position + j] = shape.scale * sum;
      }
    }
    const float highest = largest(scores, keys);
    const float total = exponentiate(scores, keys, highest);
    const float inverse = 1.0f / total;
    float* out = data.out + (span.begin * shape.heads + head) * dim;
    std::fill(out, out + dim, 0.0f);
    for (int64_t r = span.range_begin; r < span.range_end; ++r) {
      const KeyRange& range = ranges[r];
      const int64_t first = std::max<int64_t>(0, keys.first - range.position);
      const int64_t last = std::min(range.length, keys.last - range.position);
      for (int64_t j = first; j < last; ++j) {
        const float* v = data.v + (range.begin + j) * shape.v_stride + kv_head * dim;
        const float p = scores[range.position + j] * inverse;
#pragma omp simd
        for (int64_t d = 0; d < dim; ++d) out[d] += p * v[d];
      }
    }
    if (data.lse != nullptr) data.lse[span.begin * shape.heads + head] = highest + std::log(total);
  }
}

}  // namespace

int64_t longest_context(const QuerySpan* spans, int64_t span_count) {
  int64_t longest = 0;
  for (int64_t s = 0; s < span_count; ++s) longest = std::max(longest, spans[s].position + spans[s].length);
  return longest;
}

int64_t forward_scratch(const AttentionShape& shape, int64_t context) { return context * (2 * shape.head_dim + 1); }

int64_t backward_scratch(const AttentionShape& shape, int64_t context) { return context * (4 * shape.head_dim + 2); }

MAGRPO_SIMD_CLONES
void tree_attention_forward(const AttentionShape& shape, const AttentionPointers& data, const QuerySpan* spans,
                            const KeyRange* ranges, int64_t begin, int64_t end, int64_t kv_head, float* scratch) {
  const int64_t dim = shape.head_dim;
  const int64_t fold = shape.heads / shape.kv_heads;
  for (int64_t s = begin; s < end; ++s) {
    const QuerySpan& span = spans[s];
    if (span.length == 1) {
      single_query(shape, data, span, ranges, kv_head, scratch);
      continue;
    }
    const int64_t context = span.position + span.length;
    float* keys_t = scratch;
    float* values_t = keys_t + dim * context;
    float* scores = values_t + dim * context;
    transpose(data.k, shape.k_stride, kv_head * dim, dim, ranges, span.range_begin, span.range_end, context, keys_t);
    transpose(data.v, shape.v_stride, kv_head * dim, dim, ranges, span.range_begin, span.range_end, context, values_t);
    for (int64_t i = 0; i < span.length; ++i) {
      const int64_t row = span.begin + i;
      const Visible keys = visible(span.position + i, shape.window);
      for (int64_t head = kv_head * fold; head < (kv_head + 1) * fold; ++head) {
        project(data.q + row * shape.q_stride + head * dim, keys_t, dim, context, keys, shape.scale, scores);
        const float highest = largest(scores, keys);
        const float total = exponentiate(scores, keys, highest);
        const float inverse = 1.0f / total;
        float* out = data.out + (row * shape.heads + head) * dim;
        for (int64_t d = 0; d < dim; ++d) out[d] = inverse * dot(scores, values_t + d * context, keys);
        if (data.lse != nullptr) data.lse[row * shape.heads + head] = highest + std::log(total);
      }
    }
  }
}

// With p = exp(s - lse), dp = dO·v and delta = dO·O:  ds = p (dp - delta), dq = Σ ds k, dk += ds q, dv += p dO.
MAGRPO_SIMD_CLONES
void tree_attention_backward(const AttentionShape& shape, const AttentionPointers& data, const AttentionGradients& gradients,
                             const QuerySpan* spans, const KeyRange* ranges, int64_t begin, int64_t end, int64_t kv_head,
                             float* scratch) {
  const int64_t dim = shape.head_dim;
  const int64_t fold = shape.heads / shape.kv_heads;
  const int64_t kv_width = shape.kv_heads * dim;
  for (int64_t s = begin; s < end; ++s) {
    const QuerySpan& span = spans[s];
    const int64_t context = span.position + span.length;
    float* keys_t = scratch;
    float* values_t = keys_t + dim * context;
    float* d_keys_t = values_t + dim * context;
    float* d_values_t = d_keys_t + dim * context;
    float* p = d_values_t + dim * context;
    float* d_scores = p + context;
    transpose(data.k, shape.k_stride, kv_head * dim, dim, ranges, span.range_begin, span.range_end, context, keys_t);
    transpose(data.v, shape.v_stride, kv_head * dim, dim, ranges, span.range_begin, span.range_end, context, values_t);
    std::fill(d_keys_t, d_keys_t + 2 * dim * context, 0.0f);
    for (int64_t i = 0; i < span.length; ++i) {
      const int64_t row = span.begin + i;
      const Visible keys = visible(span.position + i, shape.window);
      for (int64_t head = kv_head * fold; head < (kv_head + 1) * fold; ++head) {
        const int64_t at = (row * shape.heads + head) * dim;
        const float* q = data.q + row * shape.q_stride + head * dim;
        const float* d_out = gradients.d_out + at;
        float delta = 0.0f;
        for (int64_t d = 0; d < dim; ++d) delta += d_out[d] * data.out[at + d];
        const float lse = data.lse[row * shape.heads + head];
        project(q, keys_t, dim, context, keys, shape.scale, p);
        exponentiate(p, keys, lse);
        project(d_out, values_t, dim, context, keys, 1.0f, d_scores);
#pragma omp simd
        for (int64_t j = keys.first; j < keys.last; ++j) d_scores[j] = shape.scale * p[j] * (d_scores[j] - delta);
        for (int64_t d = 0; d < dim; ++d) {
          gradients.d_q[at + d] = dot(d_scores, keys_t + d * context, keys);
          const float query = q[d], d_output = d_out[d];
          float* d_key = d_keys_t + d * context;
          float* d_value = d_values_t + d * context;
#pragma omp simd
          for (int64_t j = keys.first; j < keys.last; ++j) {
            d_key[j] += query * d_scores[j];
            d_value[j] += d_output * p[j];
          }
        }
      }
    }
    add_transposed(d_keys_t, kv_width, kv_head * dim, dim, ranges, span.range_begin, span.range_end, context, gradients.d_k);
    add_transposed(d_values_t, kv_width, kv_head * dim, dim, ranges, span.range_begin, span.range_end, context, gradients.d_v);
  }
}

}  // namespace magrpo::kernels
