// Sums over the prompts of a step in an order that does not depend on how the prompts are spread over ranks.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace magrpo::train {

// Adds up tensors of numbered slots by a binary tree: its leaves are the slots 0, 1, 2, ..., an absent leaf leaves its sibling as it is.
// A rank holds the slots from `begin` up to `end`; it adds up only subtrees that lie wholly in them, and the ranks' partial sums,
// added again in the order of their slots by one who holds all slots, give the same bits as if one rank had held them all.
class SlotSums {
 public:
  // A partial sum, under the number of its first slot that was there.
  struct Partial {
    int64_t slot;
    at::Tensor sum;  // undefined where only the order matters
  };

  SlotSums(int64_t begin, int64_t end) : begin_(begin), end_(end) {}

  // Takes the next slot's; slots ascend. The tensor may be changed.
  void add(int64_t slot, at::Tensor sum);
  // Adds up all that may be, after the last slot.
  std::vector<Partial> finish();

 private:
  // The number of the highest bit in which two slots differ: they meet in a subtree of twice as many leaves as that bit stands for.
  static int meeting(int64_t a, int64_t b);
  bool holds_meeting(int64_t slot, int level) const;
  void merge_last();

  int64_t begin_;
  int64_t end_;
  std::vector<Partial> partials_;
};

}  // namespace magrpo::train
