#include "train/slot_sums.h"

#include <bit>
#include <utility>

namespace magrpo::train {

int SlotSums::meeting(int64_t a, int64_t b) { return std::bit_width(static_cast<uint64_t>(a ^ b)) - 1; }

bool SlotSums::holds_meeting(int64_t slot, int level) const {
  const int64_t leaves = int64_t{2} << level, first = slot / leaves * leaves;
  return first >= begin_ && first + leaves <= end_;
}

void SlotSums::merge_last() {
  Partial right = std::move(partials_.back());
  partials_.pop_back();
  if (right.sum.defined()) partials_.back().sum.add_(right.sum);
}

void SlotSums::add(int64_t slot, at::Tensor sum) {
  while (partials_.size() > 1) {
    const int64_t right = partials_.back().slot, left = partials_[partials_.size() - 2].slot;
    const int level = meeting(left, right);
    if (level > meeting(right, slot) || !holds_meeting(left, level)) break;
    merge_last();
  }
  partials_.push_back({slot, std::move(sum)});
}

std::vector<SlotSums::Partial> SlotSums::finish() {
  while (partials_.size() > 1) {
    const int64_t left = partials_[partials_.size() - 2].slot;
    if (!holds_meeting(left, meeting(left, partials_.back().slot))) break;
    merge_last();
  }
  return std::exchange(partials_, {});
}

}  // namespace magrpo::train
