// Tensors of the host that work on a device needs for a moment each.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace magrpo::train {

// Options of tensors on the host that are copied to and from a CUDA device: pinned on GPUs, and on software devices where
// MAGRPO_CUDA_PINNED=1, as only such copies run beside other work.
at::TensorOptions host_options();

// Bytes that tensors take in a buffer of stream_through().
int64_t staged_bytes(const std::vector<at::Tensor>& tensors);

// Calls work(i, tensors) with group i's tensors on the device, one group after the other, and copies them back to the host. Two buffers of the
// largest group's size are all that is taken there: a stream of its own copies the next group in and the last one out while work runs on
// the current stream. The host has everything when this returns.
void stream_through(const at::Device& device, const std::vector<std::vector<at::Tensor>>& groups,
                    const std::function<void(size_t, const std::vector<at::Tensor>&)>& work);

}  // namespace magrpo::train
