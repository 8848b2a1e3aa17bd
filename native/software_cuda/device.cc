// What libtorch asks of a device: which one is current, streams and events, and that CUDA is there at all.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "software_cuda/current.h"
#include "software_cuda/graph.h"
#include "software_cuda/memory.h"

namespace magrpo::software_cuda {
namespace {

thread_local int this_device = 0;
// Ids of the streams.
thread_local std::array<int64_t, kDevices> these_streams{};

constexpr uintptr_t kHandleBase = 0x1000;

c10::Device device(int index) { return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index)); }

int index_of(const c10::Device& device) { return device.has_index() ? device.index() : current_device(); }

int number_of(const c10::Stream& stream) { return stream_number(stream.device_index(), stream.id()); }

c10::Stream stream_from_pool(int index) {
  static std::array<std::atomic<unsigned>, kDevices> next{};
  const int64_t id = 1 + next[static_cast<size_t>(index)]++ % (kStreamsPerDevice - 1);
  return c10::Stream(c10::Stream::UNSAFE, device(index), id);
}

// An event holds what its stream had queued when it was recorded.
Clock& clock_in(void* event) { return *static_cast<Clock*>(event); }

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return c10::kCUDA; }
  c10::Device exchangeDevice(c10::Device to) const override {
    const c10::Device from = getDevice();
    setDevice(to);
    return from;
  }
  c10::Device getDevice() const override { return device(current_device()); }
  void setDevice(c10::Device to) const override { set_current_device(index_of(to)); }
  void uncheckedSetDevice(c10::Device to) const noexcept override { this_device = index_of(to); }
  c10::DeviceIndex deviceCount() const noexcept override { return kDevices; }

  c10::Stream getStream(c10::Device of) const override {
    const int index = index_of(of);
    return c10::Stream(c10::Stream::UNSAFE, device(index), these_streams[static_cast<size_t>(index)]);
  }
  c10::Stream getDefaultStream(c10::Device of) const override { return c10::Stream(c10::Stream::DEFAULT, device(index_of(of))); }
  c10::Stream getStreamFromGlobalPool(c10::Device of, bool) const override { return stream_from_pool(index_of(of)); }
  c10::Stream getNewStream(c10::Device of, int) const override { return stream_from_pool(index_of(of)); }
  c10::Stream exchangeStream(c10::Stream to) const override {
    const c10::Stream from = getStream(to.device());
    set_current_stream(number_of(to));
    return from;
  }
  void* getStreamNativeHandle(const c10::Stream stream) const override { return handle_of(number_of(stream)); }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream& stream) const override {
    const Lock lock(state_mutex());
    wait_on_host(clock_of(number_of(stream)), "stream");
  }
  void synchronizeDevice(const c10::DeviceIndex index) const override {
    const Lock lock(state_mutex());
    wait_for_device(index, "device");
  }

  void record(void** event, const c10::Stream& stream, const c10::DeviceIndex, const c10::EventFlag) const override {
    const Lock lock(state_mutex());
    if (*event == nullptr) *event = new Clock;
    clock_in(*event) = clock_of(number_of(stream));
  }
  void block(void* event, const c10::Stream& stream) const override {
    const Lock lock(state_mutex());
    if (event != nullptr) wait_on_stream(number_of(stream), clock_in(event));
  }
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void* event) const override {
    const Lock lock(state_mutex());
    if (event != nullptr) wait_on_host(clock_in(event), "event");
  }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override { delete static_cast<Clock*>(event); }
  void recordDataPtrOnStream(const c10::DataPtr& data, const c10::Stream& stream) const override {
    const Lock lock(state_mutex());
    if (Block* block = find_block(data.get())) block->history.forgive(number_of(stream));
  }
};

C10_REGISTER_GUARD_IMPL(CUDA, Guard)

// Libtorch looks for a class of this name.
struct CUDAHooks final : at::CUDAHooksInterface {
  explicit CUDAHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return kDevices; }
  int getNumGPUs() const override { return kDevices; }
  c10::DeviceIndex current_device() const override { return static_cast<c10::DeviceIndex>(software_cuda::current_device()); }
  c10::DeviceIndex getCurrentDevice() const override { return current_device(); }
  void setCurrentDevice(c10::DeviceIndex index) const override { set_current_device(index); }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex index) const override {
    const c10::DeviceIndex before = current_device();
    set_current_device(index);
    return before;
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex index) const override { return exchangeDevice(index); }
  bool isPinnedPtr(const void* data) const override { return is_pinned(data); }
  at::Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator(); }
  at::Allocator* getCUDADeviceAllocator() const override { return &device_allocator(); }
  void deviceSynchronize(c10::DeviceIndex index) const override {
    const Lock lock(state_mutex());
    wait_for_device(index, "device");
  }
};

using at::CUDAHooksRegistry;
using at::RegistererCUDAHooksRegistry;
REGISTER_CUDA_HOOKS(CUDAHooks)

}  // namespace

int current_device() { return this_device; }

void set_current_device(int index) {
  TORCH_CHECK(index >= 0 && index < kDevices, "Software device: expected cuda:0 to cuda:", kDevices - 1, " but received cuda:", index, ".");
  this_device = index;
}

int current_stream(int index) { return stream_number(index, these_streams[static_cast<size_t>(index)]); }

void set_current_stream(int stream) { these_streams[static_cast<size_t>(device_of(stream))] = stream % kStreamsPerDevice; }

core::CudaStream handle_of(int stream) {
  if (stream % kStreamsPerDevice == 0) return nullptr;
  return reinterpret_cast<core::CudaStream>(kHandleBase + static_cast<uintptr_t>(stream));
}

int stream_of(core::CudaStream handle) {
  if (handle == nullptr) return stream_number(current_device(), 0);
  const int stream = static_cast<int>(reinterpret_cast<uintptr_t>(handle) - kHandleBase);
  TORCH_CHECK(stream > 0 && stream < kStreams && device_of(stream) == current_device(), "Software device: a kernel was launched on ",
              stream_name(stream), " while cuda:", current_device(), " is current. Hold a DeviceScope around the launch.");
  return stream;
}

}  // namespace magrpo::software_cuda
