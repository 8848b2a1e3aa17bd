#include "model/rotary.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/where.h>

#include <numbers>

namespace magrpo::model {

at::Tensor inverse_frequencies(const Rope& rope, int64_t head_dim) {
  const at::Tensor exponent = at::arange(0, head_dim, 2, at::kFloat) / static_cast<double>(head_dim);
  const at::Tensor frequencies = 1.0 / at::pow(rope.theta, exponent);
  if (rope.type == "linear") return frequencies / rope.factor;
  if (rope.type != "llama3") return frequencies;
  // Llama 3: long wavelengths are stretched by `factor`, short ones kept, those between blended.
  const double context = static_cast<double>(rope.original_max_positions);
  const at::Tensor wavelength = 2.0 * std::numbers::pi / frequencies;
  const at::Tensor smooth = (context / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  const at::Tensor blended = (1.0 - smooth) * frequencies / rope.factor + smooth * frequencies;
  const at::Tensor stretched = at::where(wavelength > context / rope.low_freq_factor, frequencies / rope.factor, frequencies);
  const at::Tensor between = (wavelength >= context / rope.high_freq_factor).logical_and(wavelength <= context / rope.low_freq_factor);
  return at::where(between, blended, stretched);
}

Rotation rotation(const at::Tensor& inverse_frequencies, const at::Tensor& positions) {
  const at::Tensor angles = positions.to(at::kFloat).unsqueeze(1) * inverse_frequencies.unsqueeze(0);  // (N, D / 2)
  return {angles.cos().unsqueeze(1), angles.sin().unsqueeze(1)};
}

at::Tensor rotate(const at::Tensor& x, const Rotation& rotation) {
  const int64_t half = x.size(-1) / 2;
  const at::Tensor cos = rotation.cos.to(x.scalar_type());
  const at::Tensor sin = rotation.sin.to(x.scalar_type());
  const at::Tensor first = x.narrow(-1, 0, half);
  const at::Tensor second = x.narrow(-1, half, half);
  return at::cat({first * cos - second * sin, second * cos + first * sin}, -1);
}

}  // namespace magrpo::model
