// Sizes that several kernels are compared at.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tree_attention/plan.h"

namespace magrpo::check {

// Sizes of a head: all that a model may have and the kernels support, or a few that stand for the ways to compute them.
inline std::vector<int64_t> head_sizes(bool quick) {
  if (quick) return {8, 64, 80, 128, 256};
  std::vector<int64_t> sizes;
  for (int64_t size = 2; size <= kernels::kMaxHeadDimCuda; size += 2) sizes.push_back(size);
  return sizes;
}

}  // namespace magrpo::check
