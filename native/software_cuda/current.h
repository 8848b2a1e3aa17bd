// The current device of a thread, and its current stream of each device.
#pragma once

#include "core/cuda_stream.h"
#include "software_cuda/streams.h"

namespace magrpo::software_cuda {

int current_device();
// Throws for a device that there is not.
void set_current_device(int device);

// By the stream's number (streams.h).
int current_stream(int device);
void set_current_stream(int stream);

// As CUDA's handles: null is the default stream of whichever device is current.
core::CudaStream handle_of(int stream);
// The stream behind a handle; throws if it belongs to another device than the current one.
int stream_of(core::CudaStream handle);

}  // namespace magrpo::software_cuda
