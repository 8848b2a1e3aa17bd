// Root-mean-square norm (Zhang & Sennrich 2019), in float32 whatever the dtype, as the checkpoints were trained.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/rsqrt.h>

namespace magrpo::model {

// x: (..., n), weight: (n). Returns x / sqrt(mean(x²) + eps) * weight in x's dtype.
inline at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor x32 = x.to(at::kFloat);
  const at::Tensor scale = at::rsqrt(x32.square().mean(-1, /*keepdim=*/true).add(eps));
  return weight * (x32 * scale).to(x.scalar_type());
}

}  // namespace magrpo::model
