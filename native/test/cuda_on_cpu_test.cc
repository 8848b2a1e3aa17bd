// The emulator of CUDA itself: what it runs, and that it finds what a GPU would leave undefined.
#ifndef MAGRPO_CUDA
#define MAGRPO_CUDA_ON_CPU

#include "software_cuda/cuda_on_cpu.h"

#include "kernels/cuda.h"
#include "test/harness.h"

namespace magrpo::kernels {
namespace {

// The error a launch of one block ends with, or nothing.
template <typename... Arguments>
std::string error_of(void (*kernel)(Arguments...), int threads, size_t shared_floats, Arguments... arguments) {
  try {
    launch(kernel, dim3(1), threads, shared_floats, nullptr, arguments...);
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return "";
}

__global__ void reverse(const int* from, int* to) {
  float* shared = shared_memory();
  shared[threadIdx.x] = static_cast<float>(from[blockIdx.x * blockDim.x + threadIdx.x]);
  __syncthreads();
  to[blockIdx.x * blockDim.x + threadIdx.x] = static_cast<int>(shared[blockDim.x - 1 - threadIdx.x]);
}

__global__ void reverse_without_barrier(const int* from, int* to) {
  float* shared = shared_memory();
  shared[threadIdx.x] = static_cast<float>(from[threadIdx.x]);
  to[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x] == static_cast<float>(from[blockDim.x - 1 - threadIdx.x]);
}

__global__ void sums(float* to) {
  const float value = static_cast<float>(threadIdx.x);
  to[threadIdx.x * 3] = warp_sum(value);
  to[threadIdx.x * 3 + 1] = block_sum(value, shared_memory());
  to[threadIdx.x * 3 + 2] = warp_max(-value);
}

__global__ void half_a_barrier() {
  if (threadIdx.x < 32) __syncthreads();
}

__global__ void half_a_shuffle(float* to) {
  if (threadIdx.x < 16) to[threadIdx.x] = warp_sum(1.0f);
}

__global__ void some_lanes() { __shfl_xor_sync(0xffffu, 1.0f, 1); }

__global__ void write_beyond() { shared_memory()[4] = 1.0f; }

__global__ void read_unwritten(float* to) { to[threadIdx.x] = shared_memory()[0]; }

__global__ void nothing() {}

}  // namespace

TEST("cuda on cpu: barriers, shuffles and shared memory do what CUDA says") {
  std::vector<int> from(3 * 96), to(3 * 96, -1);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<int>(i);
  launch(reverse, dim3(3), 96, 96, nullptr, from.data(), to.data());
  for (size_t i = 0; i < to.size(); ++i) EXPECT(to[i] == static_cast<int>(i / 96 * 96 + 95 - i % 96));

  std::vector<float> results(64 * 3);
  launch(sums, dim3(1), 64, 2, nullptr, results.data());
  for (int i = 0; i < 64; ++i) {
    EXPECT(results[i * 3] == (i < 32 ? 496.0f : 1520.0f));
    EXPECT(results[i * 3 + 1] == 2016.0f);
    EXPECT(results[i * 3 + 2] == (i < 32 ? 0.0f : -32.0f));
  }
}

TEST("cuda on cpu: what a GPU leaves undefined is an error") {
  std::vector<float> to(64, 0.0f);
  std::vector<int> from(64, 1), equal(64, 1);
  EXPECT(error_of(half_a_barrier, 64, 0).find("never come") != std::string::npos);
  EXPECT(error_of(half_a_shuffle, 32, 0, to.data()).find("never come") != std::string::npos);
  EXPECT(error_of(some_lanes, 32, 0).find("all lanes") != std::string::npos);
  EXPECT(error_of(write_beyond, 32, 4).find("beyond") != std::string::npos);
  EXPECT(error_of(nothing, 48, 0).find("whole warps") != std::string::npos);
  EXPECT(error_of(nothing, 32, 12289).find("48 KB") != std::string::npos);
  EXPECT(error_of(nothing, 32, 12288).empty());
  EXPECT(error_of(read_unwritten, 32, 1, to.data()).empty() && std::isnan(to[0]));
  launch(reverse_without_barrier, dim3(1), 64, 64, nullptr, static_cast<const int*>(from.data()), equal.data());
  int right = 0;
  for (const int value : equal) right += value;
  EXPECT(right < 64, "a missing barrier shows");
}

}  // namespace magrpo::kernels
#endif
