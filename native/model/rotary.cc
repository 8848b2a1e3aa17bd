#include "model/rotary.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/where.h>

#include <numbers>

#include "kernels/rotary/rotary.h"
#include "model/autograd.h"

namespace magrpo::model {
namespace {

at::Tensor turned(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, float direction) {
  const kernels::RotaryShape shape{x.size(1), x.size(2), x.stride(0), direction};
  at::Tensor y = at::empty(x.sizes(), x.options());
  if (x.is_cuda()) {
    if constexpr (core::kHasCuda)
      kernels::rotary_cuda(shape, floats(x), floats(cos), floats(sin), x.size(0), mutable_floats(y), core::cuda::current_stream());
    return y;
  }
  for_rows(x.size(0), shape.heads * shape.dim,
           [&](int64_t begin, int64_t end) { kernels::rotary(shape, floats(x), floats(cos), floats(sin), begin, end, mutable_floats(y)); });
  return y;
}

class Rotary : public torch::autograd::Function<Rotary> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
    ctx->save_for_backward({cos, sin});
    return turned(x, cos, sin, 1.0f);
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    return {turned(gradients[0].contiguous(), saved[0], saved[1], -1.0f), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

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
  if (kernels_support(x) && has_dense_rows(x))
    return wants_gradient(x) ? Rotary::apply(x, rotation.cos, rotation.sin) : turned(x, rotation.cos, rotation.sin, 1.0f);
  const int64_t half = x.size(-1) / 2;
  const at::Tensor cos = rotation.cos.to(x.scalar_type());
  const at::Tensor sin = rotation.sin.to(x.scalar_type());
  const at::Tensor first = x.narrow(-1, 0, half);
  const at::Tensor second = x.narrow(-1, half, half);
  return at::cat({first * cos - second * sin, second * cos + first * sin}, -1);
}

}  // namespace magrpo::model
