// Runs CUDA kernels on the CPU, from their own source: a thread of a block is a fiber that runs to its next barrier or shuffle.
// It is strict where a GPU is undefined: barriers that not every thread reaches, shuffles of incomplete warps and launches beyond
// a device's limits are errors, shared memory starts as NaN, writes beyond it are found, and the order of threads and blocks varies.
// It shows that a kernel computes the right numbers, not that it is fast, nor what a GPU's memory model would do to a missing fence.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/cuda_stream.h"

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace magrpo::test {

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
    Fiber& self = fibers_[current_];
    const size_t slot = self.exchanges++ % 2;  // lanes are at most one exchange apart
    self.brought[slot] = value;
    pause(State::kWarp);
    return fibers_[current_ / 32 * 32 + static_cast<size_t>(from)].brought[slot];
  }

 private:
  enum class State { kReady, kBarrier, kWarp, kDone };
  struct Fiber {
    ucontext_t context;
    State state = State::kReady;
    size_t exchanges = 0;
    uint64_t brought[2] = {0, 0};
  };
  static constexpr size_t kStack = 128 << 10;
  static constexpr uint32_t kCanary = 0x7fc0ca9au;

  CudaBlock(int threads, size_t shared_floats, const std::function<void()>& kernel)
      : kernel_(kernel), fibers_(static_cast<size_t>(threads)), shared_(shared_floats + 64) {
    static std::vector<std::unique_ptr<char[]>> stacks;
    while (stacks.size() < fibers_.size()) stacks.emplace_back(new char[kStack]);
    for (float& value : shared_) std::memcpy(&value, &kCanary, sizeof value);
    for (size_t i = 0; i < fibers_.size(); ++i) {
      ucontext_t& context = fibers_[i].context;
      getcontext(&context);
      context.uc_stack.ss_sp = stacks[i].get();
      context.uc_stack.ss_size = kStack;
      context.uc_link = nullptr;
      makecontext(&context, [] { running()->enter(); }, 0);
    }
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
    fibers_[current_].state = state;
    swapcontext(&fibers_[current_].context, &scheduler_);
  }

  // The fiber that finds an error never goes on.
  void fail(const char* text) {
    error_ = text;
    pause(State::kDone);
  }

  bool all(size_t begin, size_t end, State state) const {
    return std::all_of(fibers_.begin() + static_cast<int64_t>(begin), fibers_.begin() + static_cast<int64_t>(end),
                       [&](const Fiber& fiber) { return fiber.state == state; });
  }

  bool release(size_t begin, size_t end, State state) {
    if (!all(begin, end, state)) return false;
    for (size_t i = begin; i < end; ++i) fibers_[i].state = State::kReady;
    return true;
  }

  void run_all(bool backwards) {
    while (error_.empty() && !all(0, fibers_.size(), State::kDone)) {
      for (size_t i = 0; i < fibers_.size(); ++i) {
        current_ = backwards ? fibers_.size() - 1 - i : i;
        if (fibers_[current_].state != State::kReady) continue;
        threadIdx = dim3(static_cast<unsigned>(current_), 0, 0);
        swapcontext(&scheduler_, &fibers_[current_].context);
        if (!error_.empty()) return;
      }
      backwards = !backwards;
      bool moves = release(0, fibers_.size(), State::kBarrier);
      for (size_t warp = 0; warp < fibers_.size(); warp += 32) moves = release(warp, warp + 32, State::kWarp) || moves;
      if (!moves && !all(0, fibers_.size(), State::kDone)) error_ = "Threads of a block wait for others that never come.";
    }
  }

  const std::function<void()>& kernel_;
  std::vector<Fiber> fibers_;
  std::vector<float> shared_;
  size_t current_ = 0;
  ucontext_t scheduler_;
  std::string error_;
};

}  // namespace magrpo::test

inline void __syncthreads() { magrpo::test::CudaBlock::running()->barrier(); }

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = magrpo::test::CudaBlock::running()->exchange(mask, bits, lane);
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

inline float* shared_memory() { return test::CudaBlock::running()->shared(); }

// Runs the kernel to its end; the stream is not used.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, int threads, size_t shared_floats, core::CudaStream, Arguments... arguments) {
  if (threads < 32 || threads > 1024 || threads % 32 != 0) throw std::logic_error("Expected 1 to 32 whole warps a block.");
  if (shared_floats * sizeof(float) > 48 << 10) throw std::logic_error("Expected at most 48 KB of shared memory.");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    throw std::logic_error("Expected a grid of 1 to 2147483647 x 65535 x 65535 blocks.");
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
    test::CudaBlock::run(threads, shared_floats, [&] { kernel(arguments...); }, (b % 2 == 0) == backwards);
  }
}

}  // namespace magrpo::kernels
