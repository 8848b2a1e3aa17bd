// Gated activation of the MLP (Shazeer 2020).
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/swiglu/swiglu.h"

namespace magrpo::model {

using kernels::Activation;

// gate_up: contiguous (N, 2 · n), the gate first. Returns act(gate) · up, (N, n); differentiable.
at::Tensor gated(Activation activation, const at::Tensor& gate_up);

// Whether the kernels support it, and with them gated_gradient.
bool kernels_support_gates(const at::Tensor& gate_up);

// The gradient of gate_up from that of gated(activation, gate_up).
at::Tensor gated_gradient(Activation activation, const at::Tensor& gate_up, const at::Tensor& d_y);

}  // namespace magrpo::model
