#include "train/optimizer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/errors.h"
#include "train/offload.h"

namespace magrpo::train {
namespace {

// The kernels of libtorch step numbers in vectors of up to this many, and what is left at the end of a tensor one by one, whose last bits
// may differ. So a tensor that they step is cut at multiples alone.
constexpr int64_t kVector = 16;

}  // namespace

struct Optimizer::Piece {
  at::Tensor weight, gradient;
  at::Tensor master;  // the weight itself if that is float32
  Moments moments;
  bool decays;
  uint32_t tensor;      // number of the part
  int64_t first_block;  // of the part

  bool has_master() const { return weight.scalar_type() != at::kFloat; }
  // What is offloaded.
  std::vector<at::Tensor> state() const {
    std::vector<at::Tensor> result;
    if (has_master()) result.push_back(master);
    for (const auto& [name, member] : kMomentMembers)
      if ((moments.*member).defined()) result.push_back(moments.*member);
    return result;
  }
  // The same with other tensors as its state.
  Piece with(const at::Tensor* state) const {
    Piece result = *this;
    if (has_master()) result.master = *state++;
    for (const auto& [name, member] : kMomentMembers)
      if ((moments.*member).defined()) result.moments.*member = *state++;
    return result;
  }
};

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
  const size_t before = size();
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
  if (is_offloaded_)
    for (size_t i = before; i < size(); ++i) move_state(parameters_[i]);
}

at::TensorOptions Optimizer::place() const {
  return is_offloaded_ ? host_options() : at::TensorOptions().device(parameters_.front().weight.device());
}

at::Tensor Optimizer::placed(const at::Tensor& tensor) const {
  return at::empty(tensor.sizes(), place().dtype(tensor.scalar_type())).copy_(tensor);
}

void Optimizer::move_state(Parameter& p) {
  if (p.has_masters() && p.master.defined()) p.master = placed(p.master);
  for (const auto& [name, member] : kMomentMembers)
    if ((p.whole.*member).defined()) p.whole.*member = placed(p.whole.*member);
  for (auto& part : p.parts) {
    if (part.master.defined()) part.master = placed(part.master);
    if (p.whole.first.defined()) part.moments = p.whole.rows(part.slice.row, part.slice.rows);
    else
      for (const auto& [name, member] : kMomentMembers)
        if ((part.moments.*member).defined()) part.moments.*member = placed(part.moments.*member);
  }
}

void Optimizer::offload(bool wanted) {
  at::NoGradGuard no_grad;
  if (parameters_.empty() || !parameters_.front().weight.is_cuda() || is_offloaded_ == wanted) return;
  is_offloaded_ = wanted;
  for (auto& p : parameters_) move_state(p);
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
    p.whole = kind == MomentKind::kFloat32 && !p.is_cut ? Moments::zeros_for(p.weight, kind, place()) : Moments();
    for (auto& part : p.parts) {
      const uint32_t number = tensor++;
      if (part.begin == part.end) continue;
      const model::NamedSlice& slice = part.slice;
      const Moments old = std::exchange(
          part.moments, p.whole.first.defined() ? p.whole.rows(slice.row, slice.rows)
                                                : Moments::zeros_for(own(p, part, p.weight), kind_for(kind, part.size()), place()));
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
  // libtorch's kernel counts by itself, and asking would make the host wait.
  const uint32_t count = options.moments == MomentKind::kFloat32 ? 1 : step_count();
  const MomentStep step{
      .beta1 = static_cast<float>(options.beta1),
      .beta2 = static_cast<float>(options.beta2),
      .rate = static_cast<float>(options.learning_rate / (1.0 - std::pow(options.beta1, count))),
      .root = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(options.beta2, count))),
      .epsilon = static_cast<float>(options.epsilon),
      .step = count,
  };
  const std::vector<Piece> all = pieces(gradients, options);
  if (is_offloaded_) step_staged(all, options, step);
  else step_pieces(all, options, step);
  return result;
}

bool Optimizer::is_aligned(const Parameter& p) {
  const int64_t row = p.weight.numel() / p.weight.size(0);
  return std::all_of(p.parts.begin(), p.parts.end(), [row](const Part& part) { return part.slice.row * row % kVector == 0; });
}

std::vector<Optimizer::Piece> Optimizer::pieces(const std::vector<at::Tensor>& gradients, const StepOptions& options) const {
  std::vector<Piece> result;
  uint32_t tensor = 0;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Parameter& p = parameters_[i];
    const bool decaying = decays(p, options);
    // Small pieces where they are staged, and few calls of the kernel elsewhere.
    if (p.whole.first.defined() && !(is_offloaded_ && is_aligned(p))) {
      result.push_back({p.weight, gradients[i], p.master, p.whole, decaying, tensor, 0});
      tensor += static_cast<uint32_t>(p.parts.size());
      continue;
    }
    for (const auto& part : p.parts) {
      const uint32_t number = tensor++;
      if (part.begin == part.end) continue;
      result.push_back({own(p, part, p.weight), own(p, part, gradients[i]), master_of(p, part), part.moments, decaying, number,
                        part.begin / kMomentBlock});
    }
  }
  return result;
}

void Optimizer::step_pieces(const std::vector<Piece>& pieces, const StepOptions& options, MomentStep step) {
  Batch batches[2];
  for (const Piece& piece : pieces) {
    if (piece.moments.kind() == MomentKind::kFloat32) {
      batches[piece.decays].add(piece.master, piece.gradient, piece.moments);
      continue;
    }
    step.decay = piece.decays ? static_cast<float>(options.learning_rate * options.weight_decay) : 0.0f;
    step.tensor = piece.tensor;
    step.first_block = piece.first_block;
    step_tensor(piece.master, piece.gradient.contiguous(), piece.moments, step);
  }
  for (const bool decaying : {true, false}) step_batch(batches[decaying], decaying, options);
  for (const Piece& piece : pieces)
    if (piece.has_master()) piece.weight.copy_(piece.master);
}

void Optimizer::step_staged(const std::vector<Piece>& pieces, const StepOptions& options, const MomentStep& step) {
  int64_t most = 0;
  for (const Piece& piece : pieces) most = std::max(most, staged_bytes(piece.state()));
  // As many pieces in a row as take no more than the largest one.
  std::vector<std::vector<Piece>> groups;
  std::vector<std::vector<at::Tensor>> tensors;
  int64_t bytes = most;
  for (const Piece& piece : pieces) {
    const auto state = piece.state();
    bytes += staged_bytes(state);
    if (bytes > most) {
      bytes = staged_bytes(state);
      groups.emplace_back();
      tensors.emplace_back();
    }
    groups.back().push_back(piece);
    tensors.back().insert(tensors.back().end(), state.begin(), state.end());
  }
  stream_through(step_.device(), tensors, [&](size_t group, const std::vector<at::Tensor>& staged) {
    std::vector<Piece> here;
    const at::Tensor* next = staged.data();
    for (const Piece& piece : groups[group]) {
      here.push_back(piece.with(next));
      next += piece.state().size();
    }
    step_pieces(here, options, step);
  });
}

void Optimizer::step_batch(const Batch& batch, bool decaying, const StepOptions& options) {
  if (batch.weights.empty()) return;
  std::vector<at::Tensor> steps;
  for (size_t i = 0; i < batch.weights.size(); ++i) steps.push_back(step_.clone());
  at::_fused_adamw_(batch.weights, batch.gradients, batch.first, batch.second, {}, steps, options.learning_rate, options.beta1,
                    options.beta2, decaying ? options.weight_decay : 0.0, options.epsilon, /*amsgrad=*/false, /*maximize=*/true);
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
