// Libtorch's operations on tensors of a software device: those of the CPU, on the same memory.
#pragma once

#include <ATen/core/Tensor.h>

namespace magrpo::software_cuda {

// A tensor of the CPU over the memory of a device tensor, which has to outlive it.
at::Tensor content_of(const at::Tensor& tensor);

// Notes that the current stream of the tensor's device uses it. The lock must be held, and the work have begun.
void use(const at::Tensor& tensor, int stream, bool is_written);

}  // namespace magrpo::software_cuda
