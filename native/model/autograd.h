// What operations on tensors with gradients of their own share.
#pragma once

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/device_cuda.h"
#include "model/rows.h"

namespace magrpo::model {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Whether an operation on them has to be recorded for a backward pass.
template <typename... Tensors>
bool wants_gradient(const Tensors&... tensors) {
  return at::GradMode::is_enabled() && (tensors.requires_grad() || ...);
}

}  // namespace magrpo::model
