// Every call of the CUDA runtime but kernel launches: CUDA's in CUDA builds (MAGRPO_CUDA=1), else those of the software device
// (software_cuda/), which there may be none of.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/cuda_stream.h"

namespace magrpo::core::cuda {

// Why CUDA cannot be used: "no_driver", "no_device" or "driver_too_old"; empty if it can.
std::string unavailable_reason();

// The CUDA version of the build, such as "cu130"; "cpu" without CUDA, "software" with the software device.
std::string variant();

// Number of usable devices.
int device_count();

// Bytes of a device: free, reserved by this process's libtorch allocator, allocated from the reserved ones, and the most that ever were.
struct Memory {
  int64_t free, reserved, allocated, peak;
};
Memory device_memory(const c10::Device& device);

// What the maker calls it.
std::string device_name(const c10::Device& device);

// The stream that this thread's libtorch operations are queued on.
CudaStream current_stream();

// A stream of `device` for one model, or null: off by default, on with MAGRPO_CUDA_STREAMS=1. Has never run on a GPU.
std::shared_ptr<const c10::Stream> make_model_stream(const c10::Device& device);

// Whether host memory that is copied to or from a device is pinned, which makes copies asynchronous: off by default, on with
// MAGRPO_CUDA_PINNED=1. Has never run on a GPU.
bool pins_memory();

// Records an event after all work that this thread has queued on its current stream of `device`.
std::shared_ptr<c10::Event> record_event(const c10::Device& device);

// Blocks until the device has reached the event.
void synchronize(const c10::Event& event);

// Work that is started as a whole.
class Graph {
 public:
  virtual ~Graph() = default;
  // Starts the work again, on the current stream and on the memory that it was recorded with.
  virtual void replay() = 0;
};

// Records what `work` queues on `device`, on a stream of its own, without running it. Software devices run it once.
std::unique_ptr<Graph> record_graph(const c10::Device& device, const std::function<void()>& work);

// Makes a CUDA device, and a stream of it if not null, current on this thread until the result is destroyed.
std::shared_ptr<void> make_guard(const c10::Device& device, const c10::Stream* stream);

}  // namespace magrpo::core::cuda
