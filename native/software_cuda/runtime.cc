// core/device_cuda.h of the software device, and the table of its library.
#include <c10/core/DeviceGuard.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>

#include "core/environment.h"
#include "software_cuda/current.h"
#include "software_cuda/graph.h"
#include "software_cuda/memory.h"
#include "software_cuda/table.h"

namespace magrpo::core::cuda {
namespace {

namespace software = software_cuda;

c10::impl::VirtualGuardImpl devices() { return c10::impl::VirtualGuardImpl(c10::kCUDA); }

class SoftwareGraph final : public Graph {
 public:
  explicit SoftwareGraph(const std::function<void()>& work) { graph_.record(work); }
  void replay() override { graph_.replay(); }

 private:
  software::Graph graph_;
};

}  // namespace

std::string unavailable_reason() { return ""; }

std::string variant() { return "software"; }

int device_count() { return software::kDevices; }

Memory device_memory(const c10::Device& device) {
  const software::Lock lock(software::state_mutex());
  const auto [total, allocated, peak] = software::memory_use(device.index());
  return {total - allocated, allocated, allocated, peak};
}

std::string device_name(const c10::Device&) { return "software device"; }

CudaStream current_stream() { return software::handle_of(software::current_stream(software::current_device())); }

std::shared_ptr<const c10::Stream> make_model_stream(const c10::Device& device) {
  if (!device.is_cuda() || !is_enabled("MAGRPO_CUDA_STREAMS")) return nullptr;
  return std::make_shared<const c10::Stream>(devices().getStreamFromGlobalPool(device));
}

bool pins_memory() { return is_enabled("MAGRPO_CUDA_PINNED"); }

std::shared_ptr<c10::Event> record_event(const c10::Device& device) {
  auto event = std::make_shared<c10::Event>(device.type());
  event->record(devices().getStream(device));
  return event;
}

void synchronize(const c10::Event& event) { event.synchronize(); }

std::shared_ptr<void> make_guard(const c10::Device& device, const c10::Stream* stream) {
  // Destroyed in reverse order: the stream first.
  struct Guards {
    explicit Guards(const c10::Device& device) : device(device) {}
    c10::DeviceGuard device;
    std::optional<c10::StreamGuard> stream;
  };
  const auto guards = std::make_shared<Guards>(device);
  if (stream != nullptr) guards->stream.emplace(*stream);
  return guards;
}

std::unique_ptr<Graph> record_graph(const c10::Device& device, const std::function<void()>& work) {
  const c10::Stream before = devices().getStream(device);
  const c10::StreamGuard guard(devices().getStreamFromGlobalPool(device));
  devices().synchronizeStream(before);
  auto graph = std::make_unique<SoftwareGraph>(work);
  // Recording alone would have run nothing on that stream.
  const software::Lock lock(software::state_mutex());
  software::wait_on_stream(software::stream_number(device.index(), before.id()),
                           software::clock_of(software::current_stream(device.index())));
  return graph;
}

}  // namespace magrpo::core::cuda

namespace magrpo::software_cuda {
namespace {

std::map<std::string, int64_t> taken_waits() {
  const Lock lock(state_mutex());
  return take_waits();
}

int64_t taken_peak(int device) {
  const Lock lock(state_mutex());
  return take_peak(device);
}

const Table own_table{
#define MAGRPO_ENTRY(name) &core::cuda::name,
    MAGRPO_RUNTIME_FUNCTIONS(MAGRPO_ENTRY)
#undef MAGRPO_ENTRY
#define MAGRPO_ENTRY(name) &kernels::name,
            MAGRPO_KERNEL_FUNCTIONS(MAGRPO_ENTRY)
#undef MAGRPO_ENTRY
        & taken_waits,
    &taken_peak};

}  // namespace
}  // namespace magrpo::software_cuda

extern "C" __attribute__((visibility("default"))) const magrpo::software_cuda::Table* magrpo_software_cuda() {
  magrpo::software_cuda::explain_faults();
  return &magrpo::software_cuda::own_table;
}
