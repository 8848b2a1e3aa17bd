#include "model/rms_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "kernels/rms_norm/rms_norm.h"
#include "model/autograd.h"

namespace magrpo::model {
namespace {

// x: (tokens, n) or (tokens, heads, n), heads side by side.
kernels::NormShape shape_of(const at::Tensor& x, NormSettings settings) {
  return {x.dim() == 3 ? x.size(1) : 1, x.size(-1), x.stride(0), static_cast<float>(settings.eps), static_cast<float>(settings.offset)};
}

at::Tensor forward(const at::Tensor& x, const at::Tensor& weight, NormSettings settings, float* inverse) {
  const kernels::NormShape shape = shape_of(x, settings);
  at::Tensor y = at::empty(x.sizes(), x.options());
  if (x.is_cuda()) {
    if constexpr (core::kHasCuda)
      kernels::rms_norm_forward_cuda(shape, floats(x), floats(weight), x.size(0), mutable_floats(y), inverse, core::cuda::current_stream());
    return y;
  }
  for_rows(x.size(0), shape.heads * shape.size, [&](int64_t begin, int64_t end) {
    kernels::rms_norm_forward(shape, floats(x), floats(weight), begin, end, mutable_floats(y), inverse);
  });
  return y;
}

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight, NormSettings settings) {
    at::Tensor inverse;
    at::Tensor y = rms_norm_rows(x, weight, settings, inverse);
    ctx->save_for_backward({x, weight, inverse});
    ctx->saved_data["eps"] = settings.eps;
    ctx->saved_data["offset"] = settings.offset;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const NormSettings settings{ctx->saved_data["eps"].toDouble(), ctx->saved_data["offset"].toDouble()};
    const NormGradients found = rms_norm_gradients(saved[0], saved[1], settings, saved[2], gradients[0], ctx->needs_input_grad(1));
    return {found.x, found.weight, at::Tensor()};
  }
};

at::Tensor composed(const at::Tensor& x, const at::Tensor& weight, NormSettings settings) {
  const at::Tensor x32 = x.to(at::kFloat);
  const at::Tensor scale = x32.square().mean(-1, /*keepdim=*/true).add(settings.eps).rsqrt();
  if (settings.offset == 0.0) return weight * (x32 * scale).to(x.scalar_type());
  // As the checkpoints with an offset were trained: rounded once, after the weight.
  return (x32 * scale * (weight.to(at::kFloat) + settings.offset)).to(x.scalar_type());
}

}  // namespace

NormGradients rms_norm_gradients(const at::Tensor& x, const at::Tensor& weight, NormSettings settings, const at::Tensor& inverse,
                                 const at::Tensor& d_y, bool trains_weight) {
  const kernels::NormShape shape = shape_of(x, settings);
  const at::Tensor d_rows = d_y.contiguous();
  at::Tensor d_x = at::empty(x.sizes(), x.options());
  // Each block of rows adds up its own share, so the sum does not depend on the number of threads.
  const int64_t block = kernels::kNormPartTokens, blocks = kernels::norm_parts(x.size(0));
  at::Tensor shares = trains_weight ? at::zeros({blocks, shape.size}, x.options()) : at::Tensor();
  if (x.is_cuda()) {
    if constexpr (core::kHasCuda)
      kernels::rms_norm_backward_cuda(shape, floats(x), floats(weight), floats(inverse), floats(d_rows), x.size(0), mutable_floats(d_x),
                                      mutable_floats(shares), core::cuda::current_stream());
  } else {
    for_rows(blocks, block * shape.heads * shape.size, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b)
        kernels::rms_norm_backward(shape, floats(x), floats(weight), floats(inverse), floats(d_rows), b * block,
                                   std::min(x.size(0), (b + 1) * block), mutable_floats(d_x),
                                   trains_weight ? mutable_floats(shares) + b * shape.size : nullptr);
    });
  }
  return {d_x, trains_weight ? shares.sum(0) : at::Tensor()};
}

bool kernels_support_norm(const at::Tensor& x, const at::Tensor& weight) {
  return kernels_support(x) && kernels_support(weight) && has_dense_rows(x);
}

at::Tensor rms_norm_rows(const at::Tensor& x, const at::Tensor& weight, NormSettings settings, at::Tensor& inverse) {
  inverse = at::empty({x.numel() / x.size(-1)}, x.options());
  return forward(x, weight, settings, mutable_floats(inverse));
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, NormSettings settings) {
  if (!kernels_support_norm(x, weight)) return composed(x, weight, settings);
  return wants_gradient(x, weight) ? RmsNorm::apply(x, weight, settings) : forward(x, weight, settings, nullptr);
}

}  // namespace magrpo::model
