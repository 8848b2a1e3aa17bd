// Gated activation of the MLP (Shazeer 2020).
#pragma once

#include <ATen/core/Tensor.h>

namespace magrpo::model {

// gate_up: contiguous (N, 2 · n), the gate first. Returns silu(gate) · up, (N, n); differentiable.
at::Tensor swiglu(const at::Tensor& gate_up);

}  // namespace magrpo::model
