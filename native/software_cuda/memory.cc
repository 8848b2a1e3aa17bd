#include "software_cuda/memory.h"

#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "software_cuda/current.h"
#include "software_cuda/graph.h"

namespace magrpo::software_cuda {
namespace {

constexpr size_t kAlignment = 512;
// Bytes behind a block that nobody may write.
constexpr size_t kFence = 64;
// Freed memory of this size goes back to the system.
constexpr size_t kReturned = 1 << 20;
constexpr int kFresh = 0xff, kFenceByte = 0xfe;

size_t page_size() {
  static const auto size = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

size_t round_up(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

// Each device has half of the machine's memory.
size_t bytes_per_device() {
  static const size_t bytes = static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) * page_size() / 2;
  return bytes;
}

// Addresses of a device: more than its memory, so that free pieces between blocks do no harm.
size_t range_bytes() { return round_up(bytes_per_device() * 4, size_t{1} << 30); }

// The reservation: for each device a range without access, and behind all of them a range each with access.
char* reservation() {
  static char* const begin = [] {
    const size_t size = 2 * kDevices * range_bytes();
    void* memory = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    TORCH_CHECK(memory != MAP_FAILED, "Software device: expected to reserve ", size,
                " bytes of addresses but the system refused. Raise `ulimit -v`.");
    char* content = static_cast<char*>(memory) + size / 2;
    TORCH_CHECK(::mprotect(content, size / 2, PROT_READ | PROT_WRITE) == 0,
                "Software device: the system refused memory that is used piece by piece (vm.overcommit_memory is 2).");
    ::madvise(content, size / 2, MADV_NOHUGEPAGE);
    return static_cast<char*>(memory);
  }();
  return begin;
}

size_t distance() { return kDevices * range_bytes(); }

// The device whose addresses hold this one, or -1.
int device_at(uintptr_t address) {
  const auto begin = reinterpret_cast<uintptr_t>(reservation());
  if (address < begin || address >= begin + distance()) return -1;
  return static_cast<int>((address - begin) / range_bytes());
}

struct Range {
  std::map<uintptr_t, Block> blocks;
  std::map<uintptr_t, size_t> free;               // by address
  std::set<std::pair<size_t, uintptr_t>> by_size;  // the same
  size_t allocated = 0, peak = 0;

  void add_free(uintptr_t begin, size_t size) {
    free.emplace(begin, size);
    by_size.emplace(size, begin);
  }
  void remove_free(std::map<uintptr_t, size_t>::iterator entry) {
    by_size.erase({entry->second, entry->first});
    free.erase(entry);
  }

  // The smallest piece that is large enough.
  uintptr_t take(size_t size) {
    const auto found = by_size.lower_bound({size, 0});
    if (found == by_size.end()) return 0;
    const auto [whole, begin] = *found;
    remove_free(free.find(begin));
    if (whole > size) add_free(begin + size, whole - size);
    return begin;
  }

  void give_back(uintptr_t begin, size_t size) {
    auto after = free.lower_bound(begin);
    if (after != free.end() && after->first == begin + size) {
      size += after->second;
      remove_free(after++);
    }
    if (after != free.begin()) {
      const auto before = std::prev(after);
      if (before->first + before->second == begin) {
        begin = before->first;
        size += before->second;
        remove_free(before);
      }
    }
    add_free(begin, size);
  }
};

struct PinnedBlock {
  size_t bytes;
  std::vector<Use> reads, writes;  // by copies that the host has not waited for
};

struct State {
  std::array<Range, kDevices> ranges;
  std::map<uintptr_t, PinnedBlock> pinned;
  int copies = 0;  // under way: pinned memory is open meanwhile

  State() {
    for (int device = 0; device < kDevices; ++device)
      ranges[static_cast<size_t>(device)].add_free(reinterpret_cast<uintptr_t>(reservation()) + static_cast<size_t>(device) * range_bytes(),
                                                   range_bytes());
  }
};

// Never destroyed: tensors may outlive static objects.
State& state() {
  static auto* state = new State;
  return *state;
}

size_t taken_by(const Block& block) { return round_up(block.bytes + kFence, kAlignment); }

char* content_at(uintptr_t address) { return reinterpret_cast<char*>(address) + distance(); }

class DeviceAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const int device = current_device();
    const c10::Device where(c10::kCUDA, static_cast<c10::DeviceIndex>(device));
    if (bytes == 0) return {nullptr, nullptr, &free_nothing, where};
    const Lock lock(state_mutex());
    Range& range = state().ranges[static_cast<size_t>(device)];
    Block block{0, bytes, device, current_stream(device), {}, is_recording()};
    const size_t size = taken_by(block);
    block.begin = range.allocated + size <= bytes_per_device() ? range.take(size) : 0;
    TORCH_CHECK_WITH(OutOfMemoryError, block.begin != 0, "Software device: cuda:", device, " is out of memory: ", bytes,
                     " bytes were wanted, and of its ", bytes_per_device(), " are ", range.allocated, " in use.");
    range.allocated += size;
    range.peak = std::max(range.peak, range.allocated);
    char* content = content_at(block.begin);
    std::memset(content, kFresh, bytes);
    std::memset(content + bytes, kFenceByte, kFence);
    void* address = reinterpret_cast<void*>(block.begin);
    range.blocks.emplace(block.begin, std::move(block));
    return {address, address, &free_device, where};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, size_t count) const override { std::memcpy(content_of(to), content_of(from), count); }

 private:
  static void free_nothing(void*) {}
};

std::map<uintptr_t, PinnedBlock>::iterator find_pinned(const void* address) {
  auto& pinned = state().pinned;
  const auto at = reinterpret_cast<uintptr_t>(address);
  const auto after = pinned.upper_bound(at);
  if (after == pinned.begin()) return pinned.end();
  const auto found = std::prev(after);
  return at < found->first + found->second.bytes ? found : pinned.end();
}

void protect(uintptr_t begin, const PinnedBlock& block) {
  const int access = !block.writes.empty() ? PROT_NONE : !block.reads.empty() ? PROT_READ : PROT_READ | PROT_WRITE;
  ::mprotect(reinterpret_cast<void*>(begin), block.bytes, access);
}

void free_pinned(void* address) {
  const Lock lock(state_mutex());
  const auto found = state().pinned.find(reinterpret_cast<uintptr_t>(address));
  // Libtorch's allocator gives it out again when the copies are done, so that nothing has to wait here.
  ::munmap(address, found->second.bytes);
  state().pinned.erase(found);
}

class PinnedAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t wanted) override {
    const size_t bytes = round_up(std::max<size_t>(wanted, 1), page_size());
    void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TORCH_CHECK_WITH(OutOfMemoryError, address != MAP_FAILED, "Software device: no memory for ", wanted, " pinned bytes.");
    std::memset(address, kFresh, wanted);
    const Lock lock(state_mutex());
    state().pinned.emplace(reinterpret_cast<uintptr_t>(address), PinnedBlock{bytes, {}, {}});
    return {address, address, &free_pinned, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_pinned; }
  void copy_data(void* to, const void* from, size_t count) const override { std::memcpy(to, from, count); }
};

struct sigaction earlier_action;

// Only what a signal handler may call. The process ends by the signal after it.
void explain(int signal, siginfo_t* info, void* context) {
  char text[200];
  int length = 0;
  if (const int device = device_at(reinterpret_cast<uintptr_t>(info->si_addr)); device >= 0) {
    length =
        std::snprintf(text, sizeof text, "Software device: the host touched memory of cuda:%d at %p. Copy the tensor to the CPU first.\n",
                      device, info->si_addr);
  } else if (state_mutex().try_lock()) {
    if (find_pinned(info->si_addr) != state().pinned.end())
      length = std::snprintf(text, sizeof text,
                             "Software device: the host touched pinned memory at %p whose copy it has not waited for. Wait for an event "
                             "that was recorded after the copy.\n",
                             info->si_addr);
    state_mutex().unlock();
  }
  if (length > 0 && ::write(STDERR_FILENO, text, static_cast<size_t>(length)) < 0) return;
  if ((earlier_action.sa_flags & SA_SIGINFO) != 0) earlier_action.sa_sigaction(signal, info, context);
  else ::sigaction(signal, &earlier_action, nullptr);  // and the instruction faults again
}

}  // namespace

void free_device(void* address) {
  if (keep_for_graph(address)) return;
  const Lock lock(state_mutex());
  const auto begin = reinterpret_cast<uintptr_t>(address);
  Range& range = state().ranges[static_cast<size_t>(device_at(begin))];
  const auto found = range.blocks.find(begin);
  const Block& block = found->second;
  const char* fence = content_at(begin) + block.bytes;
  if (!std::all_of(fence, fence + kFence, [](char c) { return static_cast<unsigned char>(c) == kFenceByte; }))
    report("something wrote beyond the end of " + name_of(block) + ".");
  if (const int stream = block.in_graph ? -1 : block.history.unfinished(block.owner); stream >= 0)
    report(name_of(block) + " was freed while " + stream_name(stream) + " may still use it, and its memory belongs to " +
           stream_name(block.owner) + ". Call record_stream, or let that stream wait first.");
  const size_t size = taken_by(block);
  if (size >= kReturned) {
    const uintptr_t from = round_up(begin, page_size()), to = (begin + size) / page_size() * page_size();
    ::madvise(content_at(from), to - from, MADV_DONTNEED);
  }
  range.allocated -= size;
  range.blocks.erase(found);
  range.give_back(begin, size);
}

c10::Allocator& device_allocator() {
  static auto* allocator = new DeviceAllocator;
  return *allocator;
}

c10::Allocator& pinned_allocator() {
  static auto* allocator = new PinnedAllocator;
  return *allocator;
}

bool is_pinned(const void* address) {
  const Lock lock(state_mutex());
  return find_pinned(address) != state().pinned.end();
}

void* content_of(const void* address) { return address == nullptr ? nullptr : content_at(reinterpret_cast<uintptr_t>(address)); }

Block* find_block(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  const int device = device_at(at);
  if (device < 0) return nullptr;
  auto& blocks = state().ranges[static_cast<size_t>(device)].blocks;
  const auto after = blocks.upper_bound(at);
  if (after == blocks.begin()) return nullptr;
  Block& block = std::prev(after)->second;
  return at <= block.begin + block.bytes ? &block : nullptr;
}

std::string name_of(const Block& block) {
  return "a block of " + std::to_string(block.bytes) + " bytes of cuda:" + std::to_string(block.device);
}

void use_pinned(const void* address, int stream, bool is_written) {
  const auto found = find_pinned(address);
  if (found == state().pinned.end()) return;
  PinnedBlock& block = found->second;
  (is_written ? block.writes : block.reads).push_back({stream, clock_of(stream).at(stream)});
}

void open_pinned_memory() {
  for (auto& [begin, block] : state().pinned) {
    if (block.reads.empty() && block.writes.empty()) continue;
    std::erase_if(block.reads, host_knows);
    std::erase_if(block.writes, host_knows);
    if (state().copies == 0) protect(begin, block);
  }
}

PinnedAccess::PinnedAccess() {
  const Lock lock(state_mutex());
  if (state().copies++ > 0) return;
  for (const auto& [begin, block] : state().pinned)
    if (!block.reads.empty() || !block.writes.empty()) ::mprotect(reinterpret_cast<void*>(begin), block.bytes, PROT_READ | PROT_WRITE);
}

PinnedAccess::~PinnedAccess() {
  const Lock lock(state_mutex());
  if (--state().copies > 0) return;
  for (const auto& [begin, block] : state().pinned)
    if (!block.reads.empty() || !block.writes.empty()) protect(begin, block);
}

MemoryUse memory_use(int device) {
  const Range& range = state().ranges[static_cast<size_t>(device)];
  return {static_cast<int64_t>(bytes_per_device()), static_cast<int64_t>(range.allocated), static_cast<int64_t>(range.peak)};
}

int64_t take_peak(int device) {
  Range& range = state().ranges[static_cast<size_t>(device)];
  return static_cast<int64_t>(std::exchange(range.peak, range.allocated));
}

void explain_faults() {
  reservation();  // not for the first time in the handler
  state();
  struct sigaction action{};
  action.sa_sigaction = &explain;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigaction(SIGSEGV, &action, &earlier_action);
}

}  // namespace magrpo::software_cuda
