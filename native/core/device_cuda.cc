#include "core/device_cuda.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include "core/environment.h"

namespace magrpo::core::cuda {

namespace {

class CudaGraph final : public Graph {
 public:
  explicit CudaGraph(const std::function<void()>& work) {
    graph_.capture_begin();
    work();
    graph_.capture_end();
  }
  void replay() override { graph_.replay(); }

 private:
  at::cuda::CUDAGraph graph_;
};

}  // namespace

std::string unavailable_reason() {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no_driver";
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver) return "driver_too_old";
  return error != cudaSuccess || count == 0 ? "no_device" : "";
}

std::string variant() { return "cu" + std::to_string(CUDART_VERSION / 1000) + std::to_string(CUDART_VERSION % 1000 / 10); }

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

Memory device_memory(const c10::Device& device) {
  const c10::cuda::CUDAGuard guard(device);
  size_t free = 0, total = 0;
  C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(device.index());
  constexpr auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return {static_cast<int64_t>(free), stats.reserved_bytes[all].current, stats.allocated_bytes[all].current,
          stats.allocated_bytes[all].peak};
}

std::string device_name(const c10::Device& device) {
  cudaDeviceProp properties;
  C10_CUDA_CHECK(cudaGetDeviceProperties(&properties, device.index()));
  return properties.name;
}

CudaStream current_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

std::shared_ptr<const c10::Stream> make_model_stream(const c10::Device& device) {
  if (!device.is_cuda() || !is_enabled("MAGRPO_CUDA_STREAMS")) return nullptr;
  return std::make_shared<const c10::Stream>(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index()).unwrap());
}

bool pins_memory() { return is_enabled("MAGRPO_CUDA_PINNED"); }

std::shared_ptr<c10::Event> record_event(const c10::Device& device) {
  auto event = std::make_shared<c10::Event>(device.type());
  event->record(c10::cuda::getCurrentCUDAStream(device.index()).unwrap());
  return event;
}

void synchronize(const c10::Event& event) { event.synchronize(); }

std::unique_ptr<Graph> record_graph(const c10::Device& device, const std::function<void()>& work) {
  // The default stream cannot be recorded.
  const auto before = c10::cuda::getCurrentCUDAStream(device.index());
  const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool(false, device.index()));
  before.synchronize();
  return std::make_unique<CudaGraph>(work);
}

std::shared_ptr<void> make_guard(const c10::Device& device, const c10::Stream* stream) {
  // Destroyed in reverse order: the stream first.
  struct Guards {
    explicit Guards(const c10::Device& device) : device(device) {}
    c10::cuda::CUDAGuard device;
    c10::cuda::OptionalCUDAStreamGuard stream;
  };
  const auto guards = std::make_shared<Guards>(device);
  if (stream != nullptr) guards->stream.reset_stream(*stream);
  return guards;
}

}  // namespace magrpo::core::cuda
