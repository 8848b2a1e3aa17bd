#include "train/optimizer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>

namespace magrpo::train {

void Optimizer::add(const std::vector<model::NamedSlice>& slices) {
  for (const auto& slice : slices) {
    // Updates of 5e-6 vanish in bfloat16: trained bfloat16 weights keep float32 masters.
    if (slice.row == 0) parameters_.push_back({slice.tensor, slice.tensor.to(at::kFloat), {}, {}, {}});
    parameters_.back().parts.push_back(slice);
  }
}

void Optimizer::prepare() {
  for (auto& p : parameters_) {
    if (!step_.defined()) step_ = at::zeros({}, p.master.options());
    if (!p.exp_avg.defined()) p.exp_avg = at::zeros_like(p.master);
    if (!p.exp_avg_sq.defined()) p.exp_avg_sq = at::zeros_like(p.master);
  }
}

StepResult Optimizer::step(std::vector<at::Tensor> gradients, const StepOptions& options) {
  at::NoGradGuard no_grad;
  prepare();
  for (size_t i = 0; i < gradients.size(); ++i)
    if (!gradients[i].defined()) gradients[i] = at::zeros_like(parameters_[i].master);
  StepResult result;
  result.grad_norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients))).item<double>();
  result.skipped = !std::isfinite(result.grad_norm);
  if (result.skipped) return result;
  if (options.max_grad_norm > 0.0 && result.grad_norm > options.max_grad_norm) {
    const double factor = options.max_grad_norm / (result.grad_norm + 1e-6);
    for (auto& gradient : gradients) gradient.mul_(factor);
  }
  step_.add_(1.0);
  for (const bool decays : {true, false}) {
    std::vector<at::Tensor> weights, own_gradients, exp_avgs, exp_avg_sqs, steps;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const Parameter& p = parameters_[i];
      if ((options.decay_all || p.master.dim() > 1) != decays) continue;
      weights.push_back(p.master);
      own_gradients.push_back(gradients[i]);
      exp_avgs.push_back(p.exp_avg);
      exp_avg_sqs.push_back(p.exp_avg_sq);
      steps.push_back(step_.clone());
    }
    if (weights.empty()) continue;
    at::_fused_adamw_(weights, own_gradients, exp_avgs, exp_avg_sqs, {}, steps, options.learning_rate, options.beta1, options.beta2,
                      decays ? options.weight_decay : 0.0, options.epsilon, /*amsgrad=*/false, /*maximize=*/true);
  }
  for (auto& p : parameters_)
    if (!p.master.is_same(p.weight)) p.weight.copy_(p.master);
  return result;
}

std::vector<std::pair<std::string, at::Tensor Optimizer::Parameter::*>> Optimizer::members() const {
  std::vector<std::pair<std::string, at::Tensor Parameter::*>> result{{"exp_avg.", &Parameter::exp_avg},
                                                                      {"exp_avg_sq.", &Parameter::exp_avg_sq}};
  const auto has_master = [](const Parameter& p) { return !p.master.is_same(p.weight); };
  if (std::any_of(parameters_.begin(), parameters_.end(), has_master)) result.emplace_back("master.", &Parameter::master);
  return result;
}

std::vector<model::NamedSlice> Optimizer::slices() {
  prepare();
  std::vector<model::NamedSlice> result{{"step", step_.view({1}), 0, 1}};
  for (const auto& [prefix, member] : members())
    for (const auto& p : parameters_)
      for (const auto& part : p.parts) result.push_back({prefix + part.name, p.*member, part.row, part.rows});
  return result;
}

std::vector<model::TensorInfo> Optimizer::describe() const {
  std::vector<model::TensorInfo> result{{"step", at::kFloat, {1}}};
  for (const auto& [prefix, member] : members())
    for (const auto& p : parameters_)
      for (const auto& part : p.parts) result.push_back({prefix + part.name, at::kFloat, part.view().sizes().vec()});
  return result;
}

void Optimizer::weights_changed() {
  for (auto& p : parameters_)
    if (!p.master.is_same(p.weight)) p.master.copy_(p.weight);
}

}  // namespace magrpo::train
