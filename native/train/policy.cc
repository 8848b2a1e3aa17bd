#include "train/policy.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "core/errors.h"

namespace magrpo::train {

Policy::Policy(std::shared_ptr<model::Decoder> decoder, std::optional<model::Adapter> adapter)
    : decoder_(std::move(decoder)), adapter_(std::move(adapter)) {
  add_parameters(weight_slices(Section::kWeights));
}

void Policy::add_parameters(const std::vector<model::NamedSlice>& slices) {
  // Updates of 5e-6 vanish in bfloat16: trained bfloat16 weights keep float32 masters.
  for (const auto& slice : slices)
    if (slice.row == 0) parameters_.push_back({slice.tensor, slice.tensor.to(at::kFloat), {}, {}, {}});
}

void Policy::attach_value_head(int64_t hidden_size, uint64_t seed) {
  core::check_argument(hidden_size > 0, "Expected a positive hidden size of the value head but received ", hidden_size, ".");
  if (value_head_) parameters_.resize(parameters_.size() - value_head_->slices().size());
  value_head_ = std::make_unique<ValueHead>(ValueHead::make(decoder_->config().hidden_size, hidden_size, seed, decoder_->device()));
  add_parameters(value_head_->slices());
}

int64_t Policy::parameter_count() const {
  int64_t count = 0;
  for (const auto& p : parameters_) count += p.weight.numel();
  return count;
}

void Policy::require_gradients(bool wanted) {
  for (auto& p : parameters_) p.weight.set_requires_grad(wanted);
}

void Policy::absorb_gradients() {
  for (auto& p : parameters_) {
    at::Tensor& fresh = p.weight.mutable_grad();
    if (!fresh.defined()) continue;
    // A tied table has a sparse gradient if the head had no part in the loss.
    if (fresh.is_sparse()) fresh = fresh.to_dense();
    if (!p.gradient.defined()) p.gradient = fresh.to(at::kFloat);
    else p.gradient.add_(fresh.to(at::kFloat));
    fresh.reset();
  }
}

void Policy::discard_fresh_gradients() {
  for (auto& p : parameters_) p.weight.mutable_grad().reset();
}

void Policy::zero_gradients() {
  slot_sums_.reset();
  for (auto& p : parameters_) p.gradient.reset();
}

void Policy::prepare_optimizer() {
  if (!step_.defined()) step_ = at::zeros({}, at::TensorOptions().dtype(at::kFloat).device(decoder_->device()));
  for (auto& p : parameters_) {
    if (!p.exp_avg.defined()) p.exp_avg = at::zeros_like(p.master);
    if (!p.exp_avg_sq.defined()) p.exp_avg_sq = at::zeros_like(p.master);
  }
}

StepResult Policy::step(const StepOptions& options) {
  at::NoGradGuard no_grad;
  prepare_optimizer();
  // A policy whose groups were all skipped steps with a zero gradient, so that moments and counters agree.
  std::vector<at::Tensor> gradients;
  for (auto& p : parameters_) gradients.push_back(p.gradient.defined() ? p.gradient : at::zeros_like(p.master));
  StepResult result;
  result.grad_norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients))).item<double>();
  if (!std::isfinite(result.grad_norm)) {
    zero_gradients();
    result.skipped = true;
    return result;
  }
  if (options.max_grad_norm > 0.0 && result.grad_norm > options.max_grad_norm) {
    const double factor = options.max_grad_norm / (result.grad_norm + 1e-6);
    for (auto& gradient : gradients) gradient.mul_(factor);
  }
  // The objective is maximised: the step goes uphill.
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
  zero_gradients();
  return result;
}

std::vector<model::NamedSlice> Policy::weight_slices(Section section) const {
  std::vector<model::NamedSlice> result;
  if (section != Section::kValueHead)
    result = adapter_ ? model::named_slices(*adapter_) : model::named_slices(decoder_->config(), decoder_->weights());
  if (section != Section::kWeights && value_head_)
    for (auto& slice : value_head_->slices()) result.push_back(std::move(slice));
  return result;
}

std::vector<std::pair<std::string, at::Tensor Policy::Parameter::*>> Policy::members(Section section) const {
  if (section == Section::kGradients) return {{"", &Parameter::gradient}};
  if (section != Section::kOptimizer) return {{"", &Parameter::weight}};
  std::vector<std::pair<std::string, at::Tensor Parameter::*>> result{{"exp_avg.", &Parameter::exp_avg},
                                                                      {"exp_avg_sq.", &Parameter::exp_avg_sq}};
  if (is_full() && decoder_->weights().embedding.scalar_type() != at::kFloat) result.emplace_back("master.", &Parameter::master);
  return result;
}

std::vector<model::NamedSlice> Policy::slices(Section section) {
  std::vector<model::NamedSlice> result;
  if (section == Section::kOptimizer) {
    prepare_optimizer();
    result.push_back({"step", step_.view({1}), 0, 1});
  }
  if (section == Section::kGradients) define_gradients();
  for (const auto& [prefix, member] : members(section))
    for (const auto& slice : weight_slices(section))
      for (const auto& p : parameters_)
        if (p.weight.is_same(slice.tensor)) result.push_back({prefix + slice.name, p.*member, slice.row, slice.rows});
  return result;
}

std::vector<model::TensorInfo> Policy::describe(Section section) const {
  std::vector<model::TensorInfo> result;
  if (section == Section::kOptimizer) result.push_back({"step", at::kFloat, {1}});
  for (const auto& [prefix, member] : members(section))
    for (const auto& slice : weight_slices(section)) {
      const auto dtype = section == Section::kWeights ? slice.tensor.scalar_type() : at::kFloat;
      result.push_back({prefix + slice.name, dtype, slice.view().sizes().vec()});
    }
  return result;
}

void Policy::weights_changed() {
  for (auto& p : parameters_)
    if (!p.master.is_same(p.weight)) p.master.copy_(p.weight);
}

}  // namespace magrpo::train
