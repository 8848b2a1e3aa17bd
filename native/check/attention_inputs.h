// Trees and caches that tree attention is compared on, here and in its tests.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "kernels/tree_attention/tree_attention.h"

namespace magrpo::check {

struct AttentionCase {
  std::string name;
  int64_t heads, kv_heads, dim, window;
  int64_t queries, slots;
  int64_t padding;  // floats between the tokens of q, k and v
  std::vector<kernels::QuerySpan> spans;
  std::vector<kernels::KeyRange> ranges;
  std::vector<kernels::SpanGroup> groups;  // empty: a cache, forward only
};

// A prompt of 5 with children of 3 and 1, a grandchild of 4 under the first, and a second text of 2; keys are the pass's rows.
AttentionCase tree_case(const std::string& name, int64_t heads, int64_t kv_heads, int64_t dim, int64_t window, int64_t padding = 0);

// A prompt of 45 with two completions of 37 and 5: more keys and queries than a block of any version holds.
AttentionCase long_case(const std::string& name, int64_t window, int64_t dim = 24);

// Two rows behind a shared prompt of 500 and tails of 80 and 1: paths that decoding cuts into parts.
AttentionCase long_cache_case(const std::string& name, int64_t dim, int64_t window);

// Of every kind: sizes, windows, strides, caches.
std::vector<AttentionCase> attention_cases();

// (N, H x D), (slots, K x D) twice, on the CPU, and the shape of a kernel's call.
struct AttentionInputs {
  at::Tensor q, k, v;
  kernels::AttentionShape shape;

  explicit AttentionInputs(const AttentionCase& c);
};

struct AttentionForward {
  at::Tensor out, lse;
};

struct AttentionBackward {
  at::Tensor d_q, d_k, d_v;
};

// The CPU's kernel over all spans and heads, and its gradients. Outputs start as NaN: every row has to be written.
AttentionForward attention_forward_cpu(const AttentionCase& c, const AttentionInputs& in);
AttentionBackward attention_backward_cpu(const AttentionCase& c, const AttentionInputs& in, const AttentionForward& forward,
                                         const at::Tensor& d_out);

}  // namespace magrpo::check
