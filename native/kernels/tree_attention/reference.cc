#include "kernels/tree_attention/reference.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include <cmath>

namespace magrpo::kernels {

at::Tensor tree_attention_reference(const AttentionShape& shape, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                    const std::vector<QuerySpan>& spans, const std::vector<KeyRange>& ranges) {
  const int64_t dim = shape.head_dim, kv_heads = shape.kv_heads, fold = shape.heads / shape.kv_heads;
  at::Tensor out = at::zeros({q.size(0), shape.heads * dim}, q.options());
  for (const auto& span : spans) {
    std::vector<at::Tensor> slot_parts, position_parts;
    for (int64_t r = span.range_begin; r < span.range_end; ++r) {
      slot_parts.push_back(at::arange(ranges[r].begin, ranges[r].begin + ranges[r].length, at::kLong));
      position_parts.push_back(at::arange(ranges[r].position, ranges[r].position + ranges[r].length, at::kLong));
    }
    const at::Tensor slots = at::cat(slot_parts);
    const int64_t count = slots.size(0);
    const at::Tensor keys = k.index_select(0, slots).view({count, kv_heads, dim}).permute({1, 2, 0}).unsqueeze(1);    // (K, 1, D, n)
    const at::Tensor values = v.index_select(0, slots).view({count, kv_heads, dim}).permute({1, 0, 2}).unsqueeze(1);  // (K, 1, n, D)
    const at::Tensor queries =
        q.narrow(0, span.begin, span.length).reshape({span.length, kv_heads, fold, dim}).permute({1, 2, 0, 3});  // (K, H / K, L, D)
    // How far back each key stands from each query: (L, n).
    const at::Tensor back = at::arange(span.position, span.position + span.length, at::kLong).unsqueeze(1) - at::cat(position_parts);
    at::Tensor hidden = back < 0;
    if (shape.window > 0) hidden = hidden.logical_or(back >= shape.window);
    const at::Tensor scores = (at::matmul(queries, keys) * static_cast<double>(shape.scale)).masked_fill(hidden, -INFINITY);
    const at::Tensor mixed = at::matmul(at::softmax(scores, -1), values);  // (K, H / K, L, D)
    const at::Tensor rows = at::arange(span.begin, span.begin + span.length, at::kLong);
    out = out.index_copy(0, rows, mixed.permute({2, 0, 1, 3}).reshape({span.length, shape.heads * dim}));
  }
  return out;
}

}  // namespace magrpo::kernels
