// Gated activation of the MLP (Shazeer 2020).
#pragma once

#include <ATen/core/Tensor.h>

namespace magrpo::model {

// gate_up: contiguous (N, 2 · n), the gate first. Returns silu(gate) · up, (N, n); differentiable.
at::Tensor swiglu(const at::Tensor& gate_up);

// Whether the kernels take it, and with them swiglu_gradient.
bool takes_swiglu_kernels(const at::Tensor& gate_up);

// The gradient of gate_up from that of swiglu(gate_up).
at::Tensor swiglu_gradient(const at::Tensor& gate_up, const at::Tensor& d_y);

}  // namespace magrpo::model
