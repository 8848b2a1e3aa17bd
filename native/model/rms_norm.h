// Root-mean-square norm (Zhang & Sennrich 2019), in float32 whatever the dtype, as the checkpoints were trained.
#pragma once

#include <ATen/core/Tensor.h>

namespace magrpo::model {

// x: (..., n), weight: (n). Returns x / sqrt(mean(x²) + eps) * weight, contiguous, in x's dtype; differentiable.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

// The same by the kernels alone, without a graph, where they take it; `inverse` (one a row), if not null, is what gradients need.
bool takes_norm_kernels(const at::Tensor& x, const at::Tensor& weight);
at::Tensor rms_norm_rows(const at::Tensor& x, const at::Tensor& weight, double eps, at::Tensor* inverse = nullptr);

struct NormGradients {
  at::Tensor x, weight;  // weight: undefined unless it is trained
};
NormGradients rms_norm_gradients(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& inverse, const at::Tensor& d_y,
                                 bool trains_weight);

}  // namespace magrpo::model
