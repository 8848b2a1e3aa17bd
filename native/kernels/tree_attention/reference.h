// Tree attention in plain libtorch operations, the reference for the kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "kernels/tree_attention/tree_attention.h"

namespace magrpo::kernels {

// q: (N, H x D), k and v: (slots, K x D), of any floating dtype and layout (the strides in `shape` are not used). Returns
// (N, H x D); rows that no span covers are 0. Differentiable in q, k and v.
at::Tensor tree_attention_reference(const AttentionShape& shape, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                    const std::vector<QuerySpan>& spans, const std::vector<KeyRange>& ranges);

}  // namespace magrpo::kernels
