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
#include <utility>

namespace magrpo::train {
namespace {

// What is saved of moments, with what precedes the name of the weights.
constexpr std::pair<const char*, at::Tensor Moments::*> kMembers[]{{"exp_avg.", &Moments::first},
                                                                   {"exp_avg_sq.", &Moments::second},
                                                                   {"exp_avg_scale.", &Moments::first_scales},
                                                                   {"exp_avg_sq_scale.", &Moments::second_scales}};

}  // namespace

struct Optimizer::Batch {
  std::vector<at::Tensor> weights, gradients, first, second;

  void add(const at::Tensor& weight, const at::Tensor& gradient, const Moments& moments) {
    weights.push_back(weight);
    gradients.push_back(gradient);
    first.push_back(moments.first);
    second.push_back(moments.second);
  }
};

void Optimizer::add(const std::vector<model::NamedSlice>& slices) {
  for (const auto& slice : slices) {
    // Updates of 5e-6 vanish in bfloat16: trained bfloat16 weights keep float32 masters.
    if (slice.row == 0) parameters_.push_back({slice.tensor, slice.tensor.to(at::kFloat), {}, {}});
    parameters_.back().parts.push_back({slice, {}});
  }
}

uint32_t Optimizer::step_count() const { return static_cast<uint32_t>(step_.item<float>()); }

void Optimizer::prepare(MomentKind kind) {
  if (!step_.defined() && !parameters_.empty()) step_ = at::zeros({}, parameters_.front().master.options());
  const bool changes = kind != *kind_;
  uint32_t tensor = 0;
  for (auto& p : parameters_) {
    const bool had = p.parts.front().moments.first.defined();
    if (had && !changes) {
      tensor += static_cast<uint32_t>(p.parts.size());
      continue;
    }
    p.whole = kind == MomentKind::kFloat32 ? Moments::zeros_for(p.master, kind) : Moments();
    for (auto& [slice, moments] : p.parts) {
      const at::Tensor part = p.master.narrow(0, slice.row, slice.rows);
      const Moments old = std::exchange(
          moments, p.whole.first.defined() ? p.whole.rows(slice.row, slice.rows) : Moments::zeros_for(part, kind_for(kind, part.numel())));
      if (had) convert(old, moments, {.step = step_count(), .tensor = tensor});
      ++tensor;
    }
  }
  *kind_ = kind;
}

std::vector<at::Tensor> Optimizer::tensors(MomentKind kind) {
  prepare(kind);
  std::vector<at::Tensor> result{step_};
  for (const auto& p : parameters_) {
    result.push_back(p.weight);
    if (!p.master.is_same(p.weight)) result.push_back(p.master);
    for (const auto& part : p.parts)
      for (const auto& [name, member] : kMembers)
        if ((part.moments.*member).defined()) result.push_back(part.moments.*member);
  }
  return result;
}

void Optimizer::drop_moments() {
  for (auto& p : parameters_) {
    p.whole = {};
    for (auto& part : p.parts) part.moments = {};
  }
}

bool Optimizer::decays(const Parameter& parameter, const StepOptions& options) const {
  return options.decay_all || parameter.master.dim() > 1;
}

StepResult Optimizer::step(std::vector<at::Tensor> gradients, const StepOptions& options) {
  at::NoGradGuard no_grad;
  prepare(options.moments);
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
  if (options.moments == MomentKind::kFloat32) {
    for (const bool decaying : {true, false}) {
      Batch batch;
      for (size_t i = 0; i < parameters_.size(); ++i) {
        const Parameter& p = parameters_[i];
        if (decays(p, options) == decaying) batch.add(p.master, gradients[i], p.whole);
      }
      step_batch(batch, decaying, options);
    }
  } else {
    step_parts(gradients, options);
  }
  for (auto& p : parameters_)
    if (!p.master.is_same(p.weight)) p.weight.copy_(p.master);
  return result;
}

void Optimizer::step_batch(const Batch& batch, bool decaying, const StepOptions& options) {
  if (batch.weights.empty()) return;
  std::vector<at::Tensor> steps;
  for (size_t i = 0; i < batch.weights.size(); ++i) steps.push_back(step_.clone());
  at::_fused_adamw_(batch.weights, batch.gradients, batch.first, batch.second, {}, steps, options.learning_rate, options.beta1,
                    options.beta2, decaying ? options.weight_decay : 0.0, options.epsilon, /*amsgrad=*/false, /*maximize=*/true);
}

void Optimizer::step_parts(const std::vector<at::Tensor>& gradients, const StepOptions& options) {
  const uint32_t count = step_count();
  MomentStep step{
      .beta1 = static_cast<float>(options.beta1),
      .beta2 = static_cast<float>(options.beta2),
      .rate = static_cast<float>(options.learning_rate / (1.0 - std::pow(options.beta1, count))),
      .root = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(options.beta2, count))),
      .epsilon = static_cast<float>(options.epsilon),
      .step = count,
  };
  Batch small[2];
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Parameter& p = parameters_[i];
    const bool decaying = decays(p, options);
    step.decay = decaying ? static_cast<float>(options.learning_rate * options.weight_decay) : 0.0f;
    for (const auto& [slice, moments] : p.parts) {
      const at::Tensor weights = p.master.narrow(0, slice.row, slice.rows), own = gradients[i].narrow(0, slice.row, slice.rows);
      if (moments.kind() == MomentKind::kFloat32) small[decaying].add(weights, own, moments);
      else step_tensor(weights, own.contiguous(), moments, step);
      ++step.tensor;
    }
  }
  for (const bool decaying : {true, false}) step_batch(small[decaying], decaying, options);
}

bool Optimizer::has_masters() const {
  return std::any_of(parameters_.begin(), parameters_.end(), [](const Parameter& p) { return !p.master.is_same(p.weight); });
}

std::vector<model::NamedSlice> Optimizer::slices() {
  std::vector<model::NamedSlice> result{{"step", step_.defined() ? step_.view({1}) : at::zeros({1}), 0, 1}};
  for (const auto& [prefix, member] : kMembers)
    for (const auto& p : parameters_)
      for (const auto& [slice, moments] : p.parts) {
        const at::Tensor part = slice.view();
        const at::Tensor saved = (moments.first.defined() ? moments : Moments::blanks_for(part, kind_for(*kind_, part.numel()))).*member;
        if (saved.defined()) result.push_back({prefix + slice.name, saved, 0, saved.size(0)});
      }
  if (has_masters())
    for (const auto& p : parameters_)
      for (const auto& part : p.parts) result.push_back({"master." + part.slice.name, p.master, part.slice.row, part.slice.rows});
  return result;
}

std::vector<model::TensorInfo> Optimizer::describe() const {
  const MomentKind kind = *kind_;
  std::vector<model::TensorInfo> result{{"step", at::kFloat, {1}}};
  for (const auto& [prefix, member] : kMembers)
    for (const auto& p : parameters_)
      for (const auto& part : p.parts) {
        // Not of the moments themselves, which a step on the executor may be replacing.
        const at::Tensor weights = part.slice.view();
        const at::Tensor saved = Moments::blanks_for(weights, kind_for(kind, weights.numel())).*member;
        if (saved.defined()) result.push_back({prefix + part.slice.name, saved.scalar_type(), saved.sizes().vec()});
      }
  if (has_masters())
    for (const auto& p : parameters_)
      for (const auto& part : p.parts) result.push_back({"master." + part.slice.name, at::kFloat, part.slice.view().sizes().vec()});
  return result;
}

void Optimizer::read(const std::vector<model::TensorSource>& sources, const core::CancelFlagPtr& cancel) {
  at::NoGradGuard no_grad;
  MomentKind saved = MomentKind::kFloat32;
  for (const auto& source : sources) {
    if (source.name.rfind("exp_avg.", 0) != 0) continue;
    if (source.dtype == at::kByte) saved = MomentKind::kInt8;
    else if (source.dtype == at::kBFloat16) saved = MomentKind::kBFloat16;
  }
  prepare(saved);
  model::read_tensors(slices(), sources, cancel, nullptr);
  // Nothing but zeros: the first step makes the moments that it is asked for.
  if (step_count() == 0) drop_moments();
}

void Optimizer::weights_changed() {
  for (auto& p : parameters_)
    if (!p.master.is_same(p.weight)) p.master.copy_(p.weight);
}

}  // namespace magrpo::train
