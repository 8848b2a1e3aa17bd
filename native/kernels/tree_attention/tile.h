// Block sizes of the CUDA attention kernels, shared by the host's plan and the kernels.
#pragma once

#include <cstdint>

namespace magrpo::kernels {

// Items and keys per block: they fit 48 KB of shared memory.
constexpr int items_per_block(int64_t head_dim) { return head_dim <= 128 ? 8 : 4; }
constexpr int keys_per_block(int64_t head_dim) { return head_dim <= 128 ? 32 : 16; }

}  // namespace magrpo::kernels
