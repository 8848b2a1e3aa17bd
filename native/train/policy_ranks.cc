// What a policy does with the other ranks of a run, and with the slots of a step.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <limits>

#include "distributed/collectives.h"
#include "train/policy.h"

namespace magrpo::train {
namespace {

constexpr int64_t kNoEnd = std::numeric_limits<int64_t>::max();

}  // namespace

SlotSums SlotShares::of(size_t rank) const {
  // What lies beyond the last slot is absent: the last rank may add up as if it held it.
  return {bounds[rank], rank + 2 == bounds.size() ? kNoEnd : bounds[rank + 1]};
}

void Policy::end_slot(int64_t slot, const SlotShares& shares, size_t rank) {
  at::NoGradGuard no_grad;
  if (!slot_sums_) slot_sums_ = shares.of(rank);
  define_gradients();
  std::vector<at::Tensor> flat;
  for (const auto& gradient : gradients_) flat.push_back(gradient.reshape({-1}));
  slot_sums_->add(slot, at::cat(flat));
  for (auto& gradient : gradients_) gradient.reset();
}

void Policy::sum_slots(const SlotShares& shares, distributed::Collectives* ranks) {
  at::NoGradGuard no_grad;
  std::vector<SlotSums::Partial> own;
  if (slot_sums_) own = slot_sums_->finish();
  slot_sums_.reset();
  const int64_t count = parameter_count();
  const auto options = at::TensorOptions().dtype(at::kFloat).device(decoder_->device());
  SlotSums whole(0, kNoEnd);
  size_t next = 0;
  for (size_t rank = 0; rank + 1 < shares.bounds.size(); ++rank) {
    SlotSums order = shares.of(rank);
    for (const int64_t slot : shares.slots)
      if (slot >= shares.bounds[rank] && slot < shares.bounds[rank + 1]) order.add(slot, {});
    const bool is_own = ranks == nullptr || rank == static_cast<size_t>(ranks->rank());
    for (const auto& partial : order.finish()) {
      std::vector<at::Tensor> sum{is_own ? std::move(own.at(next++).sum) : at::empty({count}, options)};
      if (ranks != nullptr) ranks->copy(sum, static_cast<int>(rank));
      whole.add(partial.slot, std::move(sum[0]));
    }
  }
  const auto sums = whole.finish();
  if (sums.empty()) return;
  int64_t offset = 0;
  for (size_t i = 0; i < gradients_.size(); ++i) {
    const at::Tensor& weight = optimizer_.weight(i);
    gradients_[i] = sums[0].sum.narrow(0, offset, weight.numel()).view(weight.sizes());
    offset += weight.numel();
  }
}

void Policy::sum_gradients(distributed::Collectives& ranks) {
  define_gradients();
  ranks.sum(gradients_);
}

void Policy::copy_from_first(distributed::Collectives& ranks, MomentKind kind) {
  std::vector<at::Tensor> state = optimizer_.tensors(kind);
  ranks.copy(state, 0);
  if (optimizer_.is_spread()) optimizer_.weights_changed();
}

}  // namespace magrpo::train
