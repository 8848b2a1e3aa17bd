#include "model/linear.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>

#include "kernels/row_product/row_product.h"
#include "model/autograd.h"

namespace magrpo::model {
namespace {

bool has_bfloat16_products() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx512bf16") != 0;
  return has;
#else
  return true;
#endif
}

// Training uses the kernel for any number of rows or for none: products of other roundings at some sizes would make the gradient
// depend on where micro-batches are cut.
bool use_row_product(const at::Tensor& x, const at::Tensor& weight, bool trains) {
  if (!weight.is_cpu() || !weight.is_contiguous()) return false;
  if (weight.scalar_type() == at::kFloat && kernels::row_product_is_always_faster()) return true;
  return !trains && x.size(0) <= kernels::kRowProductRows && (weight.scalar_type() == at::kFloat || weight.scalar_type() == at::kBFloat16);
}

at::Tensor row_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor rows = x.to(at::kFloat).contiguous();
  const at::Tensor offset = bias.defined() ? bias.to(at::kFloat).contiguous() : bias;
  const at::Tensor y = at::empty({x.size(0), weight.size(0)}, rows.options());
  const kernels::RowProduct product{.x = floats(rows),
                                    .weight = weight.const_data_ptr(),
                                    .bias = floats(offset),
                                    .y = mutable_floats(y),
                                    .rows = rows.size(0),
                                    .in = weight.size(1),
                                    .out = weight.size(0),
                                    .is_bfloat16 = weight.scalar_type() == at::kBFloat16};
  at::parallel_for(0, product.out, row_product_grain(product.rows, product.in),
                   [&](int64_t begin, int64_t end) { kernels::row_product(product, begin, end); });
  return y.to(x.scalar_type());
}

// A product whose forward pass libtorch has no operation for: the kernel of few rows, or one computed in float32 whose weights are
// converted again in the backward pass instead of being saved.
class Product : public torch::autograd::Function<Product> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight) {
    ctx->save_for_backward({x, weight});
    if (use_row_product(x, weight, true)) return row_product(x, weight, {});
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
  return project(x, weight, bias, at::GradMode::is_enabled());
}

at::Tensor project(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool trains) {
  const bool rows = use_row_product(x, weight, trains);
  if (rows && !at::GradMode::is_enabled()) return row_product(x, weight, bias);
  if (!rows && !widens_products(weight)) return bias.defined() ? at::linear(x, weight, bias) : at::linear(x, weight);
  const at::Tensor y = Product::apply(x, weight);
  return bias.defined() ? y + bias : y;
}

}  // namespace magrpo::model
