// Helpers for the CUDA sources (NAME/cuda.cu). nvcc compiles these for a device; the test program of a CPU build compiles the same
// source with software_cuda/cuda_on_cpu.h included before it, which emulates the device. To run on both, kernels keep to: threads along x in
// whole warps, shared memory from shared_memory() only and at most 48 KB of it, full warps in shuffles, barriers that every thread
// of a block reaches.
#pragma once

#include <cstddef>

#include "core/cuda_stream.h"

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace magrpo::kernels {

// The block's shared memory: as many floats as its launch asked for.
__device__ inline float* shared_memory() {
  extern __shared__ float memory[];
  return memory;
}

// Queues `kernel` on the stream; throws std::runtime_error if it cannot be launched.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, int threads, size_t shared_floats, core::CudaStream stream, Arguments... arguments) {
  kernel<<<grid, threads, shared_floats * sizeof(float), static_cast<cudaStream_t>(stream)>>>(arguments...);
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) throw std::runtime_error(std::string("CUDA could not launch a kernel: ") + cudaGetErrorString(error));
}

}  // namespace magrpo::kernels

#endif

#if defined(__CUDACC__) || defined(MAGRPO_CUDA_ON_CPU)

namespace magrpo::kernels {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kWarp = 32;

// Sum over the lanes of a warp; every lane gets it.
__device__ inline float warp_sum(float value) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

__device__ inline float warp_max(float value) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2) value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, distance));
  return value;
}

// Sum over the threads of a block; every thread gets it. `scratch` holds one float per warp.
__device__ inline float block_sum(float value, float* scratch) {
  value = warp_sum(value);
  __syncthreads();  // other threads may still read an earlier sum
  if (threadIdx.x % kWarp == 0) scratch[threadIdx.x / kWarp] = value;
  __syncthreads();
  float total = 0.0f;
  for (unsigned warp = 0; warp < blockDim.x / kWarp; ++warp) total += scratch[warp];
  return total;
}

}  // namespace magrpo::kernels

#endif
