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

// Smaller ones are cheap in the heap.
constexpr size_t kLeastBlock = size_t{256} << 10;
constexpr size_t kPage = 4096;

// Stands before the bytes of each tensor; as large as their alignment.
struct alignas(64) Header {
  size_t block_bytes;  // header included; 0: from libtorch's allocator
};

// Blocks of tensors and freed blocks, those freed first in front.
class Pool {
 public:
  // A freed block of that size, or null. Then one may be made: others have been given back to the system, as far as they had to.
  Header* take(size_t bytes) {
    std::deque<Header*> dropped;
    Header* block = nullptr;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      live_ += bytes;
      most_live_ = std::max(most_live_, live_);
      // The newest is the one that caches hold.
      const auto found = std::find_if(blocks_.rbegin(), blocks_.rend(), [bytes](const Header* b) { return b->block_bytes == bytes; });
      if (found != blocks_.rend()) {
        block = *found;
        blocks_.erase(std::next(found).base());
        kept_ -= bytes;
      } else {
        drop(most_live_ + kSpareBlockBytes - live_, dropped);
      }
    }
    unmap(dropped);
    return block;
  }

  void give(Header* block) {
    std::deque<Header*> dropped;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      live_ -= block->block_bytes;
      kept_ += block->block_bytes;
      blocks_.push_back(block);
      // What a model leaves behind is not kept for the next one.
      if (kept_ > live_ + kSpareBlockBytes) {
        drop(live_ + kSpareBlockBytes, dropped);
        most_live_ = live_ + kept_;
      }
    }
    unmap(dropped);
  }

  void give_back() {
    std::deque<Header*> dropped;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      drop(0, dropped);
      most_live_ = live_;
    }
    unmap(dropped);
  }

  size_t kept() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return kept_;
  }

 private:
  // Takes out the oldest until at most `most` bytes are kept.
  void drop(size_t most, std::deque<Header*>& dropped) {
    while (kept_ > most) {
      kept_ -= blocks_.front()->block_bytes;
      dropped.push_back(blocks_.front());
      blocks_.pop_front();
    }
  }

  static void unmap(const std::deque<Header*>& blocks) {
    for (Header* block : blocks) munmap(block, block->block_bytes);
  }

  std::mutex mutex_;
  std::deque<Header*> blocks_;
  size_t live_ = 0, kept_ = 0;
  size_t most_live_ = 0;  // the largest live_ so far
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
  else pool().give(header);
}

class BlockAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release, c10::Device(c10::kCPU)};
    Header* header = nullptr;
    if (const size_t wanted = bytes + sizeof(Header); wanted < kLeastBlock) {
      header = static_cast<Header*>(c10::alloc_cpu(wanted));
      header->block_bytes = 0;
    } else {
      const size_t block_bytes = (wanted + kPage - 1) / kPage * kPage;
      header = pool().take(block_bytes);
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

void give_back_blocks() { pool().give_back(); }

size_t kept_block_bytes() { return pool().kept(); }

}  // namespace magrpo::core
