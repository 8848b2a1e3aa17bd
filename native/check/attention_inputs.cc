#include "check/attention_inputs.h"

#include <ATen/ops/zeros.h>

#include <cmath>

#include "check/tensors.h"

namespace magrpo::check {
namespace {

// A tensor of `width` columns whose rows lie `padding` floats apart.
at::Tensor strided(int64_t rows, int64_t width, int64_t padding, uint64_t seed) {
  return random({rows, width + padding}, seed).narrow(1, 0, width);
}

kernels::AttentionPointers pointers(const AttentionInputs& in, const AttentionForward& forward) {
  return {check::in(in.q), check::in(in.k), check::in(in.v), out(forward.out), out(forward.lse)};
}

int64_t context_of(const AttentionCase& c) { return kernels::longest_context(c.spans.data(), static_cast<int64_t>(c.spans.size())); }

}  // namespace

AttentionCase tree_case(const std::string& name, int64_t heads, int64_t kv_heads, int64_t dim, int64_t window, int64_t padding) {
  return {name,
          heads,
          kv_heads,
          dim,
          window,
          15,
          15,
          padding,
          {{0, 5, 0, 0, 1}, {5, 3, 5, 1, 3}, {8, 1, 5, 3, 5}, {9, 4, 8, 5, 8}, {13, 2, 0, 8, 9}},
          {{0, 5, 0}, {0, 5, 0}, {5, 3, 5}, {0, 5, 0}, {8, 1, 5}, {0, 5, 0}, {5, 3, 5}, {9, 4, 8}, {13, 2, 0}},
          {{0, 4}, {4, 5}}};
}

AttentionCase long_case(const std::string& name, int64_t window, int64_t dim) {
  return {name,
          4,
          2,
          dim,
          window,
          87,
          87,
          0,
          {{0, 45, 0, 0, 1}, {45, 37, 45, 1, 3}, {82, 5, 45, 3, 5}},
          {{0, 45, 0}, {0, 45, 0}, {45, 37, 45}, {0, 45, 0}, {82, 5, 45}},
          {{0, 3}}};
}

AttentionCase long_cache_case(const std::string& name, int64_t dim, int64_t window) {
  return {name,
          10,
          1,
          dim,
          window,
          2,
          600,
          0,
          {{0, 1, 579, 0, 2}, {1, 1, 500, 2, 4}},
          {{0, 500, 0}, {510, 80, 500}, {0, 500, 0}, {595, 1, 500}},
          {}};
}

std::vector<AttentionCase> attention_cases() {
  // Three rows that continue ranges of a cache with gaps, and a span of 3 new tokens behind two ranges.
  const std::vector<kernels::QuerySpan> spans{{0, 1, 6, 0, 2}, {1, 1, 5, 2, 3}, {2, 1, 0, 3, 4}, {3, 3, 4, 4, 7}};
  const std::vector<kernels::KeyRange> ranges{{20, 4, 0}, {31, 3, 4}, {5, 6, 0}, {40, 1, 0}, {20, 3, 0}, {12, 1, 3}, {25, 3, 4}};
  return {tree_case("one head", 1, 1, 8, 0),
          tree_case("grouped heads", 6, 2, 16, 0),
          tree_case("odd sizes", 3, 3, 5, 0),
          tree_case("strided", 4, 2, 64, 0, 7),
          tree_case("window of 1", 2, 1, 8, 1),
          tree_case("window of 4", 4, 2, 24, 4, 3),
          tree_case("window beyond the text", 2, 2, 8, 100),
          tree_case("large heads", 10, 1, 96, 0),
          tree_case("largest heads", 2, 1, 160, 5, 2),
          long_case("long text", 0),
          long_case("long text with a window", 40),
          {"cache", 6, 3, 8, 0, 6, 44, 0, spans, ranges, {}},
          long_cache_case("long cache", 8, 0),
          long_cache_case("long cache with a window", 130, 100),
          {"strided cache with a window", 6, 3, 12, 3, 6, 44, 5, spans, ranges, {}}};
}

AttentionInputs::AttentionInputs(const AttentionCase& c)
    : q(strided(c.queries, c.heads * c.dim, c.padding, 1)),
      k(strided(c.slots, c.kv_heads * c.dim, c.padding, 2)),
      v(strided(c.slots, c.kv_heads * c.dim, c.padding, 3)),
      shape{c.heads, c.kv_heads, c.dim, c.window, 1.0f / std::sqrt(static_cast<float>(c.dim)), q.stride(0), k.stride(0), v.stride(0)} {}

AttentionForward attention_forward_cpu(const AttentionCase& c, const AttentionInputs& in) {
  const AttentionForward result{unwritten({c.queries, c.heads * c.dim}), unwritten({c.queries, c.heads})};
  const at::Tensor scratch = unwritten({kernels::forward_scratch(in.shape, context_of(c))});
  for (int64_t head = 0; head < c.kv_heads; ++head)
    kernels::tree_attention_forward(in.shape, pointers(in, result), c.spans.data(), c.ranges.data(), 0,
                                    static_cast<int64_t>(c.spans.size()), head, out(scratch));
  return result;
}

AttentionBackward attention_backward_cpu(const AttentionCase& c, const AttentionInputs& in, const AttentionForward& forward,
                                         const at::Tensor& d_out) {
  const AttentionBackward result{unwritten({c.queries, c.heads * c.dim}), at::zeros({c.slots, c.kv_heads * c.dim}, at::kFloat),
                                 at::zeros({c.slots, c.kv_heads * c.dim}, at::kFloat)};
  const kernels::AttentionGradients gradients{check::in(d_out), out(result.d_q), out(result.d_k), out(result.d_v)};
  const at::Tensor scratch = unwritten({kernels::backward_scratch(in.shape, context_of(c))});
  for (const auto& group : c.groups)
    for (int64_t head = 0; head < c.kv_heads; ++head)
      kernels::tree_attention_backward(in.shape, pointers(in, forward), gradients, c.spans.data(), c.ranges.data(), group.begin, group.end,
                                       head, out(scratch));
  return result;
}

}  // namespace magrpo::check
