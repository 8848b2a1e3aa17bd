#include "model/swiglu.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/silu.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/device_cuda.h"
#include "model/rows.h"

namespace magrpo::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor forward(Activation activation, const at::Tensor& gate_up) {
  const int64_t size = gate_up.size(1) / 2;
  at::Tensor y = at::empty({gate_up.size(0), size}, gate_up.options());
  if (gate_up.is_cuda()) {
    if constexpr (core::kHasCuda)
      kernels::swiglu_forward_cuda(activation, gate_up.const_data_ptr<float>(), size, gate_up.size(0), y.mutable_data_ptr<float>(),
                                   core::cuda::current_stream());
    return y;
  }
  for_rows(gate_up.size(0), gate_up.size(1), [&](int64_t begin, int64_t end) {
    kernels::swiglu_forward(activation, gate_up.const_data_ptr<float>(), size, begin, end, y.mutable_data_ptr<float>());
  });
  return y;
}

class Gated : public torch::autograd::Function<Gated> {
 public:
  static at::Tensor forward(AutogradContext* ctx, Activation activation, const at::Tensor& gate_up) {
    ctx->save_for_backward({gate_up});
    ctx->saved_data["activation"] = static_cast<int64_t>(activation);
    return model::forward(activation, gate_up);
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto activation = static_cast<Activation>(ctx->saved_data["activation"].toInt());
    return {at::Tensor(), gated_gradient(activation, ctx->get_saved_variables()[0], gradients[0])};
  }
};

}  // namespace

bool kernels_support_gates(const at::Tensor& gate_up) { return takes_kernels(gate_up) && gate_up.is_contiguous(); }

at::Tensor gated_gradient(Activation activation, const at::Tensor& gate_up, const at::Tensor& d_y) {
  const at::Tensor d_rows = d_y.contiguous();
  at::Tensor d_gate_up = at::empty(gate_up.sizes(), gate_up.options());
  if (gate_up.is_cuda()) {
    if constexpr (core::kHasCuda)
      kernels::swiglu_backward_cuda(activation, gate_up.const_data_ptr<float>(), d_rows.const_data_ptr<float>(), d_rows.size(1),
                                    d_rows.size(0), d_gate_up.mutable_data_ptr<float>(), core::cuda::current_stream());
    return d_gate_up;
  }
  for_rows(gate_up.size(0), gate_up.size(1), [&](int64_t begin, int64_t end) {
    kernels::swiglu_backward(activation, gate_up.const_data_ptr<float>(), d_rows.const_data_ptr<float>(), d_rows.size(1), begin, end,
                             d_gate_up.mutable_data_ptr<float>());
  });
  return d_gate_up;
}

at::Tensor gated(Activation activation, const at::Tensor& gate_up) {
  if (kernels_support_gates(gate_up))
    return at::GradMode::is_enabled() && gate_up.requires_grad() ? Gated::apply(activation, gate_up) : forward(activation, gate_up);
  const int64_t size = gate_up.size(1) / 2;
  const at::Tensor gate = gate_up.narrow(1, 0, size);
  return (activation == Activation::silu ? at::silu(gate) : at::gelu(gate, "tanh")) * gate_up.narrow(1, size, size);
}

}  // namespace magrpo::model
