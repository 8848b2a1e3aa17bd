// Memory of tensors: freed blocks serve the next tensor of their size, and are given back when they are more than is in use.
#include "core/block_allocator.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>

#include <atomic>
#include <thread>
#include <vector>

#include "test/harness.h"

namespace magrpo::core {
namespace {

constexpr int64_t kFloatsAMiB = (1 << 20) / 4;

at::Tensor of_mebibytes(int64_t size) { return at::empty({size * kFloatsAMiB}, at::kFloat); }

TEST("block allocator: a freed block serves the next tensor of its size, and no other") {
  use_block_allocator();
  at::Tensor first = of_mebibytes(3), other = of_mebibytes(5);
  const void* block = first.data_ptr();
  EXPECT(reinterpret_cast<uintptr_t>(block) % 64 == 0, "as aligned as libtorch's own");
  first.reset();
  EXPECT(cached_block_bytes() >= size_t{3} << 20);
  const at::Tensor larger = of_mebibytes(4);
  EXPECT(larger.data_ptr() != block);
  const size_t cached = cached_block_bytes();
  const at::Tensor again = of_mebibytes(3);
  EXPECT(again.data_ptr() == block && cached_block_bytes() < cached);
  of_mebibytes(6).reset();
  release_cached_blocks();
  EXPECT(cached_block_bytes() == 0);
}

TEST("block allocator: small tensors, empty ones and numbers are what they were") {
  use_block_allocator();
  const at::Tensor ones = at::ones({7, 9}), many = at::ones({1 << 18});
  EXPECT(ones.sum().item<float>() == 63.0f && many.sum().item<float>() == 262144.0f);
  EXPECT(at::empty({0}).numel() == 0);
  EXPECT(many.clone().equal(many));
}

TEST("block allocator: what is cached is bounded by what is in use") {
  use_block_allocator();
  {
    std::vector<at::Tensor> tensors;
    for (int i = 0; i < 24; ++i) tensors.push_back(of_mebibytes(8 + i % 2));
    EXPECT(cached_block_bytes() <= kMaxSpareBlockBytes + (size_t{24} * 9 << 20));
  }
  EXPECT(cached_block_bytes() <= kMaxSpareBlockBytes + (size_t{32} << 20), cached_block_bytes());
}

TEST("block allocator: threads that make and free tensors at once never hold the same block") {
  use_block_allocator();
  std::atomic<bool> good = true;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&good, thread] {
      for (int again = 0; again < 100; ++again) {
        const at::Tensor tensor = of_mebibytes(1 + (thread + again) % 3), small = at::empty({16}, at::kFloat);
        // At both ends and in the middle: a page is enough to tell.
        float* data = tensor.mutable_data_ptr<float>();
        const int64_t last = tensor.numel() - 1, places[] = {0, last / 2, last};
        for (const int64_t at : places) data[at] = static_cast<float>(thread);
        small.mutable_data_ptr<float>()[0] = static_cast<float>(thread);
        if (again % 25 == 0) release_cached_blocks();
        std::this_thread::yield();
        for (const int64_t at : places)
          if (data[at] != static_cast<float>(thread)) good = false;
        if (small.const_data_ptr<float>()[0] != static_cast<float>(thread)) good = false;
      }
    });
  for (std::thread& thread : threads) thread.join();
  release_cached_blocks();
  EXPECT(good.load());
}

}  // namespace
}  // namespace magrpo::core
