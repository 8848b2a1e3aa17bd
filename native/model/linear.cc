#include "model/linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

namespace magrpo::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool has_bfloat16_products() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx512bf16") != 0;
  return has;
#else
  return true;
#endif
}

// A product computed in float32 whose weights are converted again in the backward pass instead of being saved.
class WideLinear : public torch::autograd::Function<WideLinear> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight) {
    ctx->save_for_backward({x, weight});
    return at::mm(x.to(at::kFloat), weight.to(at::kFloat).t()).to(x.scalar_type());
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const at::Tensor d_y = gradients[0].to(at::kFloat);
    at::Tensor d_x, d_weight;
    if (ctx->needs_input_grad(0)) d_x = at::mm(d_y, weight.to(at::kFloat)).to(x.scalar_type());
    if (ctx->needs_input_grad(1)) d_weight = at::mm(d_y.t(), x.to(at::kFloat)).to(weight.scalar_type());
    return {d_x, d_weight};
  }
};

}  // namespace

bool widens_products(const at::Tensor& weight) {
  return weight.is_cpu() && weight.scalar_type() == at::kBFloat16 && !has_bfloat16_products();
}

at::Tensor project(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (!widens_products(weight)) return bias.defined() ? at::linear(x, weight, bias) : at::linear(x, weight);
  const at::Tensor y = WideLinear::apply(x, weight);
  return bias.defined() ? y + bias : y;
}

}  // namespace magrpo::model
