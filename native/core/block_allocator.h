// Memory of libtorch's CPU tensors. The C library's heap keeps what a training step frees in pieces that the next tensor does not
// fit, a tenth of a step's peak; and what it gives back to the system must be cleared by it, page by page, at the next step.
#pragma once

#include <cstddef>

namespace magrpo::core {

// Tensors and freed blocks together take at most what tensors alone once took, and so many bytes. Less would cost time, since the
// system clears every page of a new block.
constexpr size_t kSpareBlockBytes = size_t{64} << 20;

// Makes tensors from now on take their memory here: large ones in blocks of their own, of which freed ones are kept for the next
// of that size; small ones from libtorch's own allocator. Once a process; tensors that exist are not touched.
void use_block_allocator();

// Gives all freed blocks back to the system: for what is over and leaves a hole, a model that was loaded or disposed.
void give_back_blocks();

// Bytes of freed blocks that are kept now.
size_t kept_block_bytes();

}  // namespace magrpo::core
