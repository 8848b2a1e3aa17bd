// Root-mean-square norm (Zhang & Sennrich 2019), in float32 whatever the dtype, as the checkpoints were trained.
#pragma once

#include <ATen/core/Tensor.h>

namespace magrpo::model {

// Of one norm, beside its weight.
struct NormSettings {
  double eps;
  double offset = 0.0;  // added to the weight
};

// x: (..., n), weight: (n). Returns x / sqrt(mean(x²) + eps) * (offset + weight), contiguous, in x's dtype; differentiable.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, NormSettings settings);

// The same by the kernels alone, without a graph, where they support it; `inverse` receives what gradients need (one per row).
bool kernels_support_norm(const at::Tensor& x, const at::Tensor& weight);
at::Tensor rms_norm_rows(const at::Tensor& x, const at::Tensor& weight, NormSettings settings, at::Tensor& inverse);

struct NormGradients {
  at::Tensor x, weight;  // weight: undefined unless it is trained
};
NormGradients rms_norm_gradients(const at::Tensor& x, const at::Tensor& weight, NormSettings settings, const at::Tensor& inverse,
                                 const at::Tensor& d_y, bool trains_weight);

}  // namespace magrpo::model
