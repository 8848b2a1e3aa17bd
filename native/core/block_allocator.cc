#include "core/block_allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <c10/util/Exception.h>
#include <sys/mman.h>

#include <algorithm>
#include <deque>
#include <mutex>

namespace magrpo::core {
namespace {

// Smaller tensors are cheap on the heap.
constexpr size_t kMinBlockBytes = size_t{256} << 10;
constexpr size_t kPageBytes = 4096;

// Precedes the bytes of each tensor; as large as their alignment.
struct alignas(64) Header {
  size_t block_bytes;  // header included; 0: from libtorch's allocator
};

// Accounts for live blocks and caches freed ones, oldest first.
class Pool {
 public:
  // A cached block of that size, or null. In that case enough others were released for a new one.
  Header* try_get(size_t bytes) {
    std::deque<Header*> evicted;
    Header* block = nullptr;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      live_ += bytes;
      peak_live_ = std::max(peak_live_, live_);
      // The newest is most likely in the CPU caches.
      const auto found = std::find_if(blocks_.rbegin(), blocks_.rend(), [bytes](const Header* b) { return b->block_bytes == bytes; });
      if (found != blocks_.rend()) {
        block = *found;
        blocks_.erase(std::next(found).base());
        cached_ -= bytes;
      } else {
        evict(peak_live_ + kMaxSpareBlockBytes - live_, evicted);
      }
    }
    unmap(evicted);
    return block;
  }

  void put(Header* block) {
    std::deque<Header*> evicted;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      live_ -= block->block_bytes;
      cached_ += block->block_bytes;
      blocks_.push_back(block);
      // Blocks of a disposed model are not cached for the next one.
      if (cached_ > live_ + kMaxSpareBlockBytes) {
        evict(live_ + kMaxSpareBlockBytes, evicted);
        peak_live_ = live_ + cached_;
      }
    }
    unmap(evicted);
  }

  void release_all() {
    std::deque<Header*> evicted;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      evict(0, evicted);
      peak_live_ = live_;
    }
    unmap(evicted);
  }

  size_t cached() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return cached_;
  }

 private:
  // Removes the oldest blocks until at most `max_bytes` bytes are cached.
  void evict(size_t max_bytes, std::deque<Header*>& evicted) {
    while (cached_ > max_bytes) {
      cached_ -= blocks_.front()->block_bytes;
      evicted.push_back(blocks_.front());
      blocks_.pop_front();
    }
  }

  static void unmap(const std::deque<Header*>& blocks) {
    for (Header* block : blocks) munmap(block, block->block_bytes);
  }

  std::mutex mutex_;
  std::deque<Header*> blocks_;
  size_t live_ = 0, cached_ = 0;
  size_t peak_live_ = 0;  // the largest live_ so far
};

// Never destroyed: tensors may be freed while the process ends.
Pool& pool() {
  static auto* pool = new Pool;
  return *pool;
}

Header* map_block(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  TORCH_CHECK_WITH(OutOfMemoryError, memory != MAP_FAILED, "The system refused ", bytes, " bytes for a tensor.");
  auto* header = static_cast<Header*>(memory);
  header->block_bytes = bytes;
  return header;
}

void release(void* data) {
  if (data == nullptr) return;
  Header* header = static_cast<Header*>(data) - 1;
  if (header->block_bytes == 0) c10::free_cpu(header);
  else pool().put(header);
}

class BlockAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release, c10::Device(c10::kCPU)};
    Header* header = nullptr;
    if (const size_t wanted = bytes + sizeof(Header); wanted < kMinBlockBytes) {
      header = static_cast<Header*>(c10::alloc_cpu(wanted));
      header->block_bytes = 0;
    } else {
      const size_t block_bytes = (wanted + kPageBytes - 1) / kPageBytes * kPageBytes;
      header = pool().try_get(block_bytes);
      if (header == nullptr) header = map_block(block_bytes);
    }
    return {header + 1, header + 1, &release, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};

}  // namespace

void use_block_allocator() {
  static auto* allocator = [] {
    auto* made = new BlockAllocator;
    c10::SetCPUAllocator(made, /*priority=*/1);
    return made;
  }();
  (void)allocator;
}

void release_cached_blocks() { pool().release_all(); }

size_t cached_block_bytes() { return pool().cached(); }

}  // namespace magrpo::core
