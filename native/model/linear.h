// Products with weights, in the precision that this processor is fast in. Which code computes one:
//
//   weights               rows                        without gradients         in training
//   float32, CPU          few, or any where always    kernels/row_product       kernels/row_product where it is always faster,
//                         faster                                                else libtorch
//   float32, CPU          more                        libtorch                  libtorch
//   bfloat16, CPU         few                         kernels/row_product       as more
//   bfloat16, CPU         more                        libtorch, widened to float32 where the processor lacks its instructions
//   any, CUDA             any                         libtorch                  libtorch
//
// "Few" is kernels::kRowProductRows. Adapters come on top: adapted_product.h in a pass over many tokens, row_decoder.h in a step of
// decoding, which follows the first two lines.
#pragma once

#include <ATen/core/Tensor.h>

namespace magrpo::model {

// Whether products of this dtype on this device are better computed in float32: bfloat16 on processors without instructions for
// it, where libtorch's own products are about ten times slower.
bool widens_products(const at::Tensor& weight);

// x (N, in) times weight (out, in) transposed, plus bias (out) if defined; differentiable. The result has x's dtype. On CPUs as many
// rows as it is quicker for take the kernel of kernels/row_product.h. Where products are widened, weights are converted for one product
// at a time and never kept.
at::Tensor project(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

// The same where libtorch records no gradients although the product is one of training (`trains`): in an operation's own forward pass.
at::Tensor project(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool trains);

}  // namespace magrpo::model
