// Every call of the CUDA runtime but kernel launches. Only in CUDA builds (MAGRPO_CUDA=1).
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <memory>
#include <string>

#include "core/cuda_stream.h"

namespace magrpo::core::cuda {

// Why CUDA cannot be used: "no_driver", "no_device" or "driver_too_old"; empty if it can.
std::string unavailable_reason();

// The CUDA version of the build, such as "cu130".
std::string variant();

// Whether an environment variable is 1.
bool is_on(const char* variable);

// Devices that can be used.
int device_count();

// Bytes of a device: free for anybody, kept by libtorch's allocator of this process, and in use of those.
struct Memory {
  int64_t free, reserved, allocated;
};
Memory memory_of(const c10::Device& device);

// The stream that libtorch's operations of this thread are queued on.
CudaStream current_stream();

// A stream of `device` for one model, or null: off by default, on with MAGRPO_CUDA_STREAMS=1. Has never run on a GPU.
std::shared_ptr<const c10::Stream> make_model_stream(const c10::Device& device);

// Whether memory of the host that is copied to or from a device is pinned, so that nobody waits for the copy: off by default, on with
// MAGRPO_CUDA_PINNED=1. Has never run on a GPU.
bool pins_memory();

// The end of what this thread has queued on its current stream of `device` so far.
std::shared_ptr<c10::Event> mark(const c10::Device& device);

// Returns when the device is past a mark.
void wait_for(const c10::Event& mark);

// Makes a CUDA device, and a stream of it if not null, this thread's own until the result is dropped.
std::shared_ptr<void> enter(const c10::Device& device, const c10::Stream* stream);

}  // namespace magrpo::core::cuda
