#include "train/optimizer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/errors.h"

namespace magrpo::train {

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
    if (slice.row == 0) {
      Parameter& p = parameters_.emplace_back();
      p.weight = slice.tensor;
      p.master = slice.tensor.to(at::kFloat);
    }
    Part& part = parameters_.back().parts.emplace_back();
    part.slice = slice;
    part.end = part.size();
  }
}

uint32_t Optimizer::step_count() const { return static_cast<uint32_t>(step_.item<float>()); }

at::Tensor Optimizer::own(const Parameter& p, const Part& part, const at::Tensor& whole) {
  const at::Tensor rows = whole.narrow(0, part.slice.row, part.slice.rows);
  return p.is_cut ? rows.reshape({-1}).narrow(0, part.begin, part.end - part.begin) : rows;
}

at::Tensor Optimizer::master_of(const Parameter& p, const Part& part) {
  return part.master.defined() ? part.master : own(p, part, p.master);
}

void Optimizer::make_step() {
  if (!step_.defined() && !parameters_.empty()) step_ = at::zeros({}, parameters_.front().weight.options().dtype(at::kFloat));
}

void Optimizer::prepare(MomentKind kind) {
  make_step();
  const bool changes = kind != *kind_;
  uint32_t tensor = 0;
  for (auto& p : parameters_) {
    const bool had = std::exchange(p.has_moments, true);
    if (had && !changes) {
      tensor += static_cast<uint32_t>(p.parts.size());
      continue;
    }
    p.whole = kind == MomentKind::kFloat32 && !p.is_cut ? Moments::zeros_for(p.master, kind) : Moments();
    for (auto& part : p.parts) {
      const uint32_t number = tensor++;
      if (part.begin == part.end) continue;
      const model::NamedSlice& slice = part.slice;
      const Moments old =
          std::exchange(part.moments, p.whole.first.defined() ? p.whole.rows(slice.row, slice.rows)
                                                              : Moments::zeros_for(master_of(p, part), kind_for(kind, part.size())));
      if (had) convert(old, part.moments, {.step = step_count(), .tensor = number, .first_block = part.begin / kMomentBlock});
    }
  }
  *kind_ = kind;
}

std::vector<at::Tensor> Optimizer::tensors(MomentKind kind) {
  if (is_spread()) make_step();
  else prepare(kind);
  std::vector<at::Tensor> result{step_};
  for (const auto& p : parameters_) {
    result.push_back(p.weight);
    if (is_spread()) continue;
    if (p.has_masters()) result.push_back(p.master);
    for (const auto& part : p.parts)
      for (const auto& [name, member] : kMomentMembers)
        if ((part.moments.*member).defined()) result.push_back(part.moments.*member);
  }
  return result;
}

void Optimizer::drop_moments() {
  for (auto& p : parameters_) {
    p.whole = {};
    p.has_moments = false;
    for (auto& part : p.parts) part.moments = {};
  }
}

bool Optimizer::decays(const Parameter& parameter, const StepOptions& options) const {
  return options.decay_all || parameter.weight.dim() > 1;
}

StepResult Optimizer::step(std::vector<at::Tensor> gradients, const StepOptions& options) {
  at::NoGradGuard no_grad;
  prepare(options.moments);
  for (size_t i = 0; i < gradients.size(); ++i)
    if (!gradients[i].defined()) gradients[i] = at::zeros(parameters_[i].weight.sizes(), step_.options());
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
        if (decays(p, options) != decaying) continue;
        if (!p.is_cut) batch.add(p.master, gradients[i], p.whole);
        else
          for (const auto& part : p.parts)
            if (part.begin < part.end) batch.add(master_of(p, part), own(p, part, gradients[i]), part.moments);
      }
      step_batch(batch, decaying, options);
    }
  } else {
    step_parts(gradients, options);
  }
  for (auto& p : parameters_)
    if (p.has_masters())
      for (auto& part : p.parts)
        if (part.begin < part.end) own(p, part, p.weight).copy_(master_of(p, part));
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
    for (const auto& part : p.parts) {
      step.first_block = part.begin / kMomentBlock;
      if (part.begin < part.end) {
        const at::Tensor weights = master_of(p, part), gradient = own(p, part, gradients[i]);
        if (part.moments.kind() == MomentKind::kFloat32) small[decaying].add(weights, gradient, part.moments);
        else step_tensor(weights, gradient.contiguous(), part.moments, step);
      }
      ++step.tensor;
    }
  }
  for (const bool decaying : {true, false}) step_batch(small[decaying], decaying, options);
}

bool Optimizer::has_masters() const {
  return std::any_of(parameters_.begin(), parameters_.end(), [](const Parameter& p) { return p.has_masters(); });
}

std::vector<model::NamedSlice> Optimizer::slices() {
  core::check_argument(!is_spread(),
                       "Expected an optimizer whose state this process has, but a run with optimizer.sharded has spread it over "
                       "its ranks: the checkpoints of that run hold it.");
  std::vector<model::NamedSlice> result{{"step", step_.defined() ? step_.view({1}) : at::zeros({1}), 0, 1}};
  for (const auto& [prefix, member] : kMomentMembers)
    for (const auto& p : parameters_)
      for (const auto& part : p.parts) {
        const at::Tensor weights = part.slice.view();
        const at::Tensor saved = (p.has_moments ? part.moments : Moments::blanks_for(weights, kind_for(*kind_, part.size()))).*member;
        if (saved.defined()) result.push_back({prefix + part.slice.name, saved, 0, saved.size(0)});
      }
  if (has_masters())
    for (const auto& p : parameters_)
      for (const auto& part : p.parts) result.push_back({"master." + part.slice.name, p.master, part.slice.row, part.slice.rows});
  return result;
}

std::vector<model::TensorInfo> Optimizer::describe() const {
  const MomentKind kind = *kind_;
  std::vector<model::TensorInfo> result{{"step", at::kFloat, {1}}};
  for (const auto& [prefix, member] : kMomentMembers)
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

MomentKind Optimizer::kind_of(const std::vector<model::TensorSource>& sources) {
  MomentKind saved = MomentKind::kFloat32;
  for (const auto& source : sources) {
    if (source.name.rfind("exp_avg.", 0) != 0) continue;
    if (source.dtype == at::kByte) saved = MomentKind::kInt8;
    else if (source.dtype == at::kBFloat16) saved = MomentKind::kBFloat16;
  }
  return saved;
}

void Optimizer::read(const std::vector<model::TensorSource>& sources, const core::CancelFlagPtr& cancel) {
  at::NoGradGuard no_grad;
  prepare(kind_of(sources));
  model::read_tensors(slices(), sources, cancel, nullptr);
  // Nothing but zeros: the first step makes the moments that it is asked for.
  if (step_count() == 0) drop_moments();
}

void Optimizer::weights_changed() {
  for (auto& p : parameters_)
    if (p.has_masters())
      for (auto& part : p.parts)
        if (part.begin < part.end) master_of(p, part).copy_(own(p, part, p.weight));
}

}  // namespace magrpo::train
