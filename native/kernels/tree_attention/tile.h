// Sizes of a block of the CUDA attention kernels, which the host's plan and the kernels share.
#pragma once

#include <cstdint>

namespace magrpo::kernels {

// Items and keys that a block holds at a time, so that they fit 48 KB of shared memory.
constexpr int items_of_block(int64_t head_dim) { return head_dim <= 128 ? 8 : 4; }
constexpr int keys_of_block(int64_t head_dim) { return head_dim <= 128 ? 32 : 16; }

}  // namespace magrpo::kernels
