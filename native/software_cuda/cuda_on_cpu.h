// Runs CUDA kernels on the CPU, from their own source: a thread of a block is a fiber that runs to its next barrier or shuffle.
// It is strict where a GPU is undefined: barriers that not every thread reaches, shuffles of incomplete warps and launches beyond
// a device's limits are errors, shared memory starts as NaN, writes beyond it are found, and the order of threads and blocks varies.
// It shows that a kernel computes the right numbers, not that it is fast, nor what a GPU's memory model would do to a missing fence.
// Pointers are the host's in the test of the kernels, and a software device's (MAGRPO_SOFTWARE_LAUNCHES, launch.h) in its library.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/cuda_stream.h"
#include "software_cuda/fiber.h"
#if defined(MAGRPO_SOFTWARE_LAUNCHES)
#include "software_cuda/launch.h"
#endif

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace magrpo::software_cuda {

class CudaBlock {
 public:
  // Runs one block; throws std::logic_error for what would be undefined on a GPU.
  static void run(int threads, size_t shared_floats, const std::function<void()>& kernel, bool backwards) {
    CudaBlock block(threads, shared_floats, kernel);
    running() = &block;
    block.run_all(backwards);
    running() = nullptr;
    if (!block.error_.empty()) throw std::logic_error(block.error_);
    for (size_t i = shared_floats; i < block.shared_.size(); ++i)
      if (bits_of(block.shared_[i]) != kCanary) throw std::logic_error("A kernel wrote beyond its shared memory.");
  }

  static CudaBlock*& running() {
    static CudaBlock* block = nullptr;
    return block;
  }

  float* shared() { return shared_.data(); }

  void barrier() { pause(State::kBarrier); }

  // The value that lane `from` of this warp brings to the same exchange.
  uint64_t exchange(unsigned mask, uint64_t value, int from) {
    if (mask != 0xffffffffu) fail("A shuffle does not name all lanes.");
    Thread& self = threads_[current_];
    const size_t slot = self.exchanges++ % 2;  // lanes are at most one exchange apart
    self.brought[slot] = value;
    pause(State::kWarp);
    return threads_[current_ / 32 * 32 + static_cast<size_t>(from)].brought[slot];
  }

 private:
  enum class State { kReady, kBarrier, kWarp, kDone };
  struct Thread {
    Fiber fiber;
    State state = State::kReady;
    size_t exchanges = 0;
    uint64_t brought[2] = {0, 0};
  };
  static constexpr size_t kStack = 128 << 10;
  static constexpr uint32_t kCanary = 0x7fc0ca9au;

  CudaBlock(int threads, size_t shared_floats, const std::function<void()>& kernel)
      : kernel_(kernel), threads_(static_cast<size_t>(threads)), shared_(shared_floats + 64) {
    static std::vector<std::unique_ptr<char[]>> stacks;
    while (stacks.size() < threads_.size()) stacks.emplace_back(new char[kStack]);
    for (float& value : shared_) std::memcpy(&value, &kCanary, sizeof value);
    for (size_t i = 0; i < threads_.size(); ++i) threads_[i].fiber.prepare(stacks[i].get(), kStack, [] { running()->enter(); });
  }

  static uint32_t bits_of(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
  }

  void enter() {
    kernel_();
    pause(State::kDone);
  }

  void pause(State state) {
    threads_[current_].state = state;
    scheduler_.enter(threads_[current_].fiber);
  }

  // The fiber that finds an error never goes on.
  void fail(const char* text) {
    error_ = text;
    pause(State::kDone);
  }

  bool all(size_t begin, size_t end, State state) const {
    return std::all_of(threads_.begin() + static_cast<int64_t>(begin), threads_.begin() + static_cast<int64_t>(end),
                       [&](const Thread& thread) { return thread.state == state; });
  }

  bool release(size_t begin, size_t end, State state) {
    if (!all(begin, end, state)) return false;
    for (size_t i = begin; i < end; ++i) threads_[i].state = State::kReady;
    return true;
  }

  void run_all(bool backwards) {
    while (error_.empty() && !all(0, threads_.size(), State::kDone)) {
      for (size_t i = 0; i < threads_.size(); ++i) {
        current_ = backwards ? threads_.size() - 1 - i : i;
        if (threads_[current_].state != State::kReady) continue;
        threadIdx = dim3(static_cast<unsigned>(current_), 0, 0);
        threads_[current_].fiber.enter(scheduler_);
        if (!error_.empty()) return;
      }
      backwards = !backwards;
      bool moves = release(0, threads_.size(), State::kBarrier);
      for (size_t warp = 0; warp < threads_.size(); warp += 32) moves = release(warp, warp + 32, State::kWarp) || moves;
      if (!moves && !all(0, threads_.size(), State::kDone)) error_ = "Threads of a block wait for others that never come.";
    }
  }

  const std::function<void()>& kernel_;
  std::vector<Thread> threads_;
  std::vector<float> shared_;
  size_t current_ = 0;
  Fiber scheduler_;
  std::string error_;
};

}  // namespace magrpo::software_cuda

inline void __syncthreads() { magrpo::software_cuda::CudaBlock::running()->barrier(); }

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = magrpo::software_cuda::CudaBlock::running()->exchange(mask, bits, lane);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int distance) {
  return __shfl_sync(mask, value, static_cast<int>(threadIdx.x % 32) ^ distance);
}

// A lane without a lower one at this distance gets its own value.
template <typename T>
T __shfl_up_sync(unsigned mask, T value, int distance) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  return __shfl_sync(mask, value, lane < distance ? lane : lane - distance);
}

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

namespace magrpo::kernels {

inline float* shared_memory() { return software_cuda::CudaBlock::running()->shared(); }

// The host's threads may launch for several devices at once; a block's state is one for all.
inline std::mutex launch_mutex;

// Runs the blocks of a kernel to its end.
template <typename Kernel, typename... Arguments>
void run_blocks(Kernel* kernel, dim3 grid, int threads, size_t shared_floats, Arguments... arguments) {
  const std::lock_guard<std::mutex> lock(launch_mutex);
  gridDim = grid;
  blockDim = dim3(static_cast<unsigned>(threads));
  static bool backwards = false;
  backwards = !backwards;
  const uint64_t blocks = static_cast<uint64_t>(grid.x) * grid.y * grid.z;
  for (uint64_t i = 0; i < blocks; ++i) {
    const uint64_t b = backwards ? blocks - 1 - i : i;
    const dim3 index(static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                     static_cast<unsigned>(b / grid.x / grid.y));
    blockIdx = index;
    software_cuda::CudaBlock::run(threads, shared_floats, [&] { kernel(arguments...); }, (b % 2 == 0) == backwards);
  }
}

// Runs the kernel to its end. In the test of the kernels the stream is not used.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, int threads, size_t shared_floats, [[maybe_unused]] core::CudaStream stream,
            Arguments... arguments) {
  if (threads < 32 || threads > 1024 || threads % 32 != 0) throw std::logic_error("Expected 1 to 32 whole warps a block.");
  if (shared_floats * sizeof(float) > 48 << 10) throw std::logic_error("Expected at most 48 KB of shared memory.");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    throw std::logic_error("Expected a grid of 1 to 2147483647 x 65535 x 65535 blocks.");
#if defined(MAGRPO_SOFTWARE_LAUNCHES)
  // As the kernel's parameters are typed, so that a pointer to what it only reads says so.
  software_cuda::launch<Parameters...>(
      stream, [=](Parameters... parameters) { run_blocks(kernel, grid, threads, shared_floats, parameters...); }, arguments...);
#else
  run_blocks(kernel, grid, threads, shared_floats, arguments...);
#endif
}

}  // namespace magrpo::kernels
