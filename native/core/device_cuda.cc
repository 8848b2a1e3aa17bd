#include "core/device_cuda.h"

#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <cstdlib>

namespace magrpo::cuda {

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

kernels::CudaStream current_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

std::shared_ptr<const c10::Stream> make_model_stream(const c10::Device& device) {
  const char* wanted = std::getenv("MAGRPO_CUDA_STREAMS");
  if (!device.is_cuda() || wanted == nullptr || std::string(wanted) != "1") return nullptr;
  return std::make_shared<const c10::Stream>(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index()).unwrap());
}

std::shared_ptr<void> enter(const c10::Device& device, const c10::Stream* stream) {
  // Dropped in reverse order: the stream first.
  struct Guards {
    explicit Guards(const c10::Device& device) : device(device) {}
    c10::cuda::CUDAGuard device;
    c10::cuda::OptionalCUDAStreamGuard stream;
  };
  const auto guards = std::make_shared<Guards>(device);
  if (stream != nullptr) guards->stream.reset_stream(*stream);
  return guards;
}

}  // namespace magrpo::cuda
