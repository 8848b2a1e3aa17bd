// Memory of the software devices. A device has a range of addresses that nobody may touch, and its tensors point into it: the host faults
// there, as it would on a GPU, whichever thread it is and whatever runs meanwhile. The memory itself lies at a fixed distance above,
// where kernels and operations work. Both are one reservation, so that a byte costs memory once it is used.
#pragma once

#include <c10/core/Allocator.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "software_cuda/streams.h"

namespace magrpo::software_cuda {

struct Block {
  uintptr_t begin;
  size_t bytes;  // wanted; the block takes more
  int device;
  int owner;  // the stream it was allocated on: its memory is given to later work of that stream
  History history;
  bool in_graph = false;  // of a graph's own pool, which no other work gets memory from
};

// Allocates on the current device and stream. Memory starts as bytes of 0xff: NaN as a float, -1 as an integer.
c10::Allocator& device_allocator();
void free_device(void* address);

// Page-locked memory of the host. The host may not touch it while an asynchronous copy to it may be under way, and not write while one
// from it may be: it faults.
c10::Allocator& pinned_allocator();
bool is_pinned(const void* address);

// Where the content of a device's memory is found.
void* content_of(const void* device_address);

// The live block that an address points into or just behind, or null. The lock must be held.
Block* find_block(const void* address);
// How a block is called in messages.
std::string name_of(const Block& block);

// Notes that a copy on `stream` reads or writes pinned memory asynchronously. The lock must be held.
void use_pinned(const void* address, int stream, bool is_written);
// Lets the host touch what it has waited for. The lock must be held.
void open_pinned_memory();

// For the copy itself: pinned memory may be touched while one of these lives.
class PinnedAccess {
 public:
  PinnedAccess();
  ~PinnedAccess();
  PinnedAccess(const PinnedAccess&) = delete;
  PinnedAccess& operator=(const PinnedAccess&) = delete;
};

struct MemoryUse {
  int64_t total, allocated, peak;
};
// The lock must be held.
MemoryUse memory_use(int device);
// Most bytes that were allocated at once since the last call. The lock must be held.
int64_t take_peak(int device);

// Makes a host's touch of device or pinned memory say what happened before the process ends by it.
void explain_faults();

}  // namespace magrpo::software_cuda
