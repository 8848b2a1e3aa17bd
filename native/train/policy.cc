#include "train/policy.h"

#include <ATen/ops/zeros_like.h>

#include "core/errors.h"

namespace magrpo::train {

Policy::Policy(std::shared_ptr<model::Decoder> decoder, std::optional<model::Adapter> adapter)
    : decoder_(std::move(decoder)), adapter_(std::move(adapter)) {
  optimizer_.add(weight_slices(Section::kWeights));
  gradients_.resize(optimizer_.size());
}

void Policy::attach_value_head(int64_t hidden_size, uint64_t seed) {
  core::check_argument(hidden_size > 0, "Expected a positive hidden size of the value head but received ", hidden_size, ".");
  if (value_head_) optimizer_.truncate(optimizer_.size() - value_head_->slices().size());
  value_head_ = std::make_unique<ValueHead>(ValueHead::make(decoder_->config().hidden_size, hidden_size, seed, decoder_->device()));
  gradients_.resize(optimizer_.size());
  optimizer_.add(value_head_->slices());
  gradients_.resize(optimizer_.size());
}

int64_t Policy::parameter_count() const {
  int64_t count = 0;
  for (size_t i = 0; i < optimizer_.size(); ++i) count += optimizer_.weight(i).numel();
  return count;
}

void Policy::require_gradients(bool wanted) {
  for (size_t i = 0; i < optimizer_.size(); ++i) optimizer_.weight(i).set_requires_grad(wanted);
}

void Policy::absorb_gradients() {
  for (size_t i = 0; i < optimizer_.size(); ++i) {
    at::Tensor& fresh = optimizer_.weight(i).mutable_grad();
    at::Tensor& gradient = gradients_[i];
    if (!fresh.defined()) continue;
    // A tied table has a sparse gradient if the head had no part in the loss.
    if (fresh.is_sparse()) fresh = fresh.to_dense();
    if (!gradient.defined()) gradient = fresh.to(at::kFloat);
    else gradient.add_(fresh.to(at::kFloat));
    fresh.reset();
  }
}

void Policy::discard_fresh_gradients() {
  for (size_t i = 0; i < optimizer_.size(); ++i) optimizer_.weight(i).mutable_grad().reset();
}

void Policy::zero_gradients() {
  slot_sums_.reset();
  for (auto& gradient : gradients_) gradient.reset();
}

void Policy::define_gradients() {
  for (size_t i = 0; i < gradients_.size(); ++i)
    if (!gradients_[i].defined()) gradients_[i] = at::zeros_like(optimizer_.weight(i), at::TensorOptions().dtype(at::kFloat));
}

StepResult Policy::step(const StepOptions& options, distributed::Collectives* ranks) {
  core::check_argument(
      !optimizer_.is_spread() || ranks != nullptr,
      "Expected an optimizer whose state this process has, but a run with optimizer.sharded has spread it over its ranks. Train "
      "the policy by another run of these ranks, or load what the run saved.");
  // A policy whose groups were all skipped steps with a zero gradient, so that moments and counters agree.
  const StepResult result = optimizer_.step(gradients_, options);
  // All ranks have the same gradients, and so skip the same steps.
  if (optimizer_.is_spread() && !result.skipped) optimizer_.share_weights(*ranks);
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

std::vector<model::NamedSlice> Policy::slices(Section section) {
  if (section == Section::kOptimizer) return optimizer_.slices();
  auto result = weight_slices(section);
  if (section != Section::kGradients) return result;
  define_gradients();
  // The optimizer has the tensors in the order of their slices.
  size_t parameter = 0;
  for (size_t i = 0; i < result.size(); ++i) {
    if (i > 0 && result[i].row == 0) ++parameter;
    result[i].tensor = gradients_[parameter];
  }
  return result;
}

std::vector<model::TensorInfo> Policy::describe(Section section) const {
  if (section == Section::kOptimizer) return optimizer_.describe();
  std::vector<model::TensorInfo> result;
  for (const auto& slice : weight_slices(section)) {
    const auto dtype = section == Section::kWeights ? slice.tensor.scalar_type() : at::kFloat;
    result.push_back({slice.name, dtype, slice.view().sizes().vec()});
  }
  return result;
}

void Policy::read(Section section, const std::vector<model::TensorSource>& sources, const core::CancelFlagPtr& cancel) {
  if (decoder_->device().is_meta()) return;
  if (section == Section::kOptimizer) return optimizer_.read(sources, cancel);
  model::read_tensors(slices(section), sources, cancel, nullptr);
  if (section == Section::kWeights) weights_changed();
}

}  // namespace magrpo::train
