#include <algorithm>
#include <cmath>

#include "kernels/simd.h"
#include "kernels/tree_attention.h"

namespace magrpo::kernels {
namespace {

MAGRPO_INLINE float dot(const float* a, const float* b, int64_t n) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

MAGRPO_INLINE void axpy(float alpha, const float* x, float* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] += alpha * x[i];
}

// The part of `range` that a query at `position` sees: keys [first, last) of the range.
struct Visible {
  int64_t first;
  int64_t last;
};

MAGRPO_INLINE Visible visible(const KeyRange& range, int64_t position, int64_t window) {
  const int64_t last = std::min(range.length, position - range.position + 1);
  const int64_t oldest = window > 0 ? position - window + 1 : 0;
  return {std::max<int64_t>(0, oldest - range.position), last};
}

}  // namespace

int64_t longest_context(const QuerySpan* spans, int64_t span_count) {
  int64_t longest = 0;
  for (int64_t s = 0; s < span_count; ++s) longest = std::max(longest, spans[s].position + spans[s].length);
  return longest;
}

// Each query row is computed by itself and in a fixed order, so a result never depends on what else is in the batch.
MAGRPO_SIMD_CLONES
void tree_attention_forward(const AttentionShape& shape, const AttentionPointers& data, const QuerySpan* spans,
                            const KeyRange* ranges, int64_t begin, int64_t end, int64_t kv_head, float* scratch) {
  const int64_t dim = shape.head_dim;
  const int64_t fold = shape.heads / shape.kv_heads;
  for (int64_t s = begin; s < end; ++s) {
    const QuerySpan& span = spans[s];
    for (int64_t i = 0; i < span.length; ++i) {
      const int64_t row = span.begin + i;
      const int64_t position = span.position + i;
      for (int64_t head = kv_head * fold; head < (kv_head + 1) * fold; ++head) {
        const float* q = data.q + row * shape.q_stride + head * dim;
        int64_t count = 0;
        float highest = -INFINITY;
        for (int64_t r = span.range_begin; r < span.range_end; ++r) {
          const Visible keys = visible(ranges[r], position, shape.window);
          for (int64_t j = keys.first; j < keys.last; ++j) {
            const float score = shape.scale * dot(q, data.k + (ranges[r].begin + j) * shape.k_stride + kv_head * dim, dim);
            highest = std::max(highest, score);
            scratch[count++] = score;
          }
        }
        float total = 0.0f;
        for (int64_t j = 0; j < count; ++j) {
          scratch[j] = std::exp(scratch[j] - highest);
          total += scratch[j];
        }
        float* out = data.out + (row * shape.heads + head) * dim;
        std::fill(out, out + dim, 0.0f);
        const float inverse = 1.0f / total;
        int64_t next = 0;
        for (int64_t r = span.range_begin; r < span.range_end; ++r) {
          const Visible keys = visible(ranges[r], position, shape.window);
          for (int64_t j = keys.first; j < keys.last; ++j)
            axpy(scratch[next++] * inverse, data.v + (ranges[r].begin + j) * shape.v_stride + kv_head * dim, out, dim);
        }
        if (data.lse != nullptr) data.lse[row * shape.heads + head] = highest + std::log(total);
      }
    }
  }
}

// With p = exp(s - lse), dp = dO·v and delta = dO·O:  ds = p (dp - delta), dq += ds k, dk += ds q, dv += p dO.
MAGRPO_SIMD_CLONES
void tree_attention_backward(const AttentionShape& shape, const AttentionPointers& data, const AttentionGradients& gradients,
                             const QuerySpan* spans, const KeyRange* ranges, int64_t begin, int64_t end, int64_t kv_head) {
  const int64_t dim = shape.head_dim;
  const int64_t fold = shape.heads / shape.kv_heads;
  const int64_t kv_width = shape.kv_heads * dim;
  for (int64_t s = begin; s < end; ++s) {
    const QuerySpan& span = spans[s];
    for (int64_t i = 0; i < span.length; ++i) {
      const int64_t row = span.begin + i;
      const int64_t position = span.position + i;
      for (int64_t head = kv_head * fold; head < (kv_head + 1) * fold; ++head) {
        const int64_t at = (row * shape.heads + head) * dim;
        const float* q = data.q + row * shape.q_stride + head * dim;
        const float* d_out = gradients.d_out + at;
        const float delta = dot(d_out, data.out + at, dim);
        const float lse = data.lse[row * shape.heads + head];
        float* d_q = gradients.d_q + at;
        std::fill(d_q, d_q + dim, 0.0f);
        for (int64_t r = span.range_begin; r < span.range_end; ++r) {
          const Visible keys = visible(ranges[r], position, shape.window);
          for (int64_t j = keys.first; j < keys.last; ++j) {
            const int64_t slot = ranges[r].begin + j;
            const float* k = data.k + slot * shape.k_stride + kv_head * dim;
            const float* v = data.v + slot * shape.v_stride + kv_head * dim;
            const float p = std::exp(shape.scale * dot(q, k, dim) - lse);
            const float d_score = shape.scale * p * (dot(d_out, v, dim) - delta);
            axpy(d_score, k, d_q, dim);
            axpy(d_score, q, gradients.d_k + slot * kv_width + kv_head * dim, dim);
            axpy(p, d_out, gradients.d_v + slot * kv_width + kv_head * dim, dim);
          }
        }
      }
    }
  }
}

}  // namespace magrpo::kernels
