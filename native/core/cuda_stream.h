// A cudaStream_t, for headers that include no CUDA header.
#pragma once

namespace magrpo::core {

using CudaStream = void*;

}  // namespace magrpo::core
