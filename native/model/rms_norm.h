// Root-mean-square norm (Zhang & Sennrich 2019), in float32 whatever the dtype, as the checkpoints were trained.
#pragma once

#include <ATen/core/Tensor.h>

namespace magrpo::model {

// x: (..., n), weight: (n). Returns x / sqrt(mean(x²) + eps) * weight, contiguous, in x's dtype; differentiable.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

}  // namespace magrpo::model
