// Sums over slots: the same bits however slots are spread over ranks.
#include "train/slot_sums.h"

#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "test/harness.h"
#include "test/tensors.h"

namespace magrpo::train {
namespace {

constexpr int64_t kNoEnd = std::numeric_limits<int64_t>::max();

std::vector<int64_t> bounds_of(int64_t slots, int64_t ranks) {
  std::vector<int64_t> bounds;
  for (int64_t rank = 0; rank <= ranks; ++rank) bounds.push_back(rank * slots / ranks);
  return bounds;
}

// What `ranks` ranks make of the leaves; the number of partial sums that one rank sends at most in `most`.
at::Tensor summed(const std::vector<at::Tensor>& leaves, int64_t ranks, size_t* most) {
  const auto slots = static_cast<int64_t>(leaves.size());
  const auto bounds = bounds_of(slots, ranks);
  SlotSums whole(0, kNoEnd);
  for (int64_t rank = 0; rank < ranks; ++rank) {
    SlotSums own(bounds[rank], rank + 1 == ranks ? kNoEnd : bounds[rank + 1]);
    for (int64_t slot = bounds[rank]; slot < bounds[rank + 1]; ++slot)
      if (leaves[slot].defined()) own.add(slot, leaves[slot].clone());
    const auto partials = own.finish();
    *most = std::max(*most, partials.size());
    for (const auto& partial : partials) whole.add(partial.slot, partial.sum);
  }
  const auto sums = whole.finish();
  return sums.empty() ? at::Tensor() : sums[0].sum;
}

TEST("slot sums: any number of ranks gives the same bits, with absent slots too") {
  for (int64_t slots = 1; slots <= 17; ++slots) {
    for (int absent = 0; absent < 6; ++absent) {
      std::vector<at::Tensor> leaves;
      for (int64_t slot = 0; slot < slots; ++slot) {
        const bool is_there = absent == 0 || (slot * 7 + absent) % (absent + 1) != 0;
        leaves.push_back(is_there ? at::randn({64}) * (slot % 3 == 0 ? 1e6 : 1.0) : at::Tensor());
      }
      size_t most = 0;
      const at::Tensor one = summed(leaves, 1, &most);
      EXPECT(most <= 1);
      for (int64_t ranks = 2; ranks <= slots + 2; ++ranks) {
        most = 0;
        const at::Tensor many = summed(leaves, ranks, &most);
        EXPECT(one.defined() == many.defined());
        EXPECT(!one.defined() || one.equal(many));
        EXPECT(most <= 10);  // at most 2 log2(17)
      }
    }
  }
}

TEST("slot sums: an absent slot leaves its sibling as it is, and a pair is added before its neighbours") {
  const auto number = [](float value) { return at::full({1}, value); };
  // (1e8 + 1) + (-1e8 + 1) in float32 is 0; from left to right it would be 1.
  size_t most = 0;
  const at::Tensor pairs = summed({number(1e8f), number(1.0f), number(-1e8f), number(1.0f)}, 2, &most);
  EXPECT(pairs.item<float>() == 0.0f);
  const at::Tensor lone = summed({at::Tensor(), number(3.0f), at::Tensor(), number(4.0f)}, 1, &most);
  EXPECT(lone.item<float>() == 7.0f);
}

}  // namespace
}  // namespace magrpo::train
