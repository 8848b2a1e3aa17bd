#include "model/swiglu.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/silu.h>

#include "model/autograd.h"

namespace magrpo::model {
namespace {

at::Tensor forward(Activation activation, const at::Tensor& gate_up) {
  const int64_t size = gate_up.size(1) / 2;
  at::Tensor y = at::empty({gate_up.size(0), size}, gate_up.options());
  if (gate_up.is_cuda()) {
    if constexpr (core::kHasCuda)
      kernels::swiglu_forward_cuda(activation, floats(gate_up), size, gate_up.size(0), mutable_floats(y), core::cuda::current_stream());
    return y;
  }
  for_rows(gate_up.size(0), gate_up.size(1),
           [&](int64_t begin, int64_t end) { kernels::swiglu_forward(activation, floats(gate_up), size, begin, end, mutable_floats(y)); });
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

bool kernels_support_gates(const at::Tensor& gate_up) { return kernels_support(gate_up) && gate_up.is_contiguous(); }

at::Tensor gated_gradient(Activation activation, const at::Tensor& gate_up, const at::Tensor& d_y) {
  const at::Tensor d_rows = d_y.contiguous();
  at::Tensor d_gate_up = at::empty(gate_up.sizes(), gate_up.options());
  if (gate_up.is_cuda()) {
    if constexpr (core::kHasCuda)
      kernels::swiglu_backward_cuda(activation, floats(gate_up), floats(d_rows), d_rows.size(1), d_rows.size(0), mutable_floats(d_gate_up),
                                    core::cuda::current_stream());
    return d_gate_up;
  }
  for_rows(gate_up.size(0), gate_up.size(1), [&](int64_t begin, int64_t end) {
    kernels::swiglu_backward(activation, floats(gate_up), floats(d_rows), d_rows.size(1), begin, end, mutable_floats(d_gate_up));
  });
  return d_gate_up;
}

at::Tensor gated(Activation activation, const at::Tensor& gate_up) {
  if (kernels_support_gates(gate_up)) return wants_gradient(gate_up) ? Gated::apply(activation, gate_up) : forward(activation, gate_up);
  const int64_t size = gate_up.size(1) / 2;
  const at::Tensor gate = gate_up.narrow(1, 0, size);
  return (activation == Activation::silu ? at::silu(gate) : at::gelu(gate, "tanh")) * gate_up.narrow(1, size, size);
}

}  // namespace magrpo::model
