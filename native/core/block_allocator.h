// Allocates libtorch's CPU tensors. The C library's heap fragments over a training step; and memory that it returns to the system has to
// be zeroed by the system, page by page, at the next step.
#pragma once

#include <cstddef>

namespace magrpo::core {

// Live tensors and cached blocks together use at most the peak of live tensors plus this many bytes. Less would cost time, since the
// system zeroes every page of a new block.
constexpr size_t kMaxSpareBlockBytes = size_t{64} << 20;

// Installs the allocator for all later tensors. A large tensor gets a block of its own; freed blocks are cached for the next tensor of
// their size. Small ones use libtorch's own allocator. Call once per process; existing tensors are not affected.
void use_block_allocator();

// Returns all cached blocks to the system. Call after a large one-off, such as loading or disposing of a model.
void release_cached_blocks();

// Bytes of cached blocks.
size_t cached_block_bytes();

}  // namespace magrpo::core
