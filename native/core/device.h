// Resolves and checks a device name; tells why CUDA is unavailable.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <memory>
#include <string>

namespace magrpo::core {

// Whether tensors of CUDA devices may come: in CUDA builds, and on Linux, where others may load the software device (software_cuda/).
// Code behind `if constexpr (kHasCuda)` may call what only these link.
#if defined(MAGRPO_CUDA) || defined(__linux__)
inline constexpr bool kHasCuda = true;
#else
inline constexpr bool kHasCuda = false;
#endif

// Why CUDA is unavailable: "cpu_build", "no_driver", "no_device" or "driver_too_old"; empty if it can be used.
std::string cuda_unavailable_reason();

// The variant of this build: "cpu", the CUDA version as "cu130", or "software" where the software device takes a GPU's place.
std::string build_variant();

// The device of tensors that have a shape and no memory: of models that another process holds.
inline constexpr const char* kNowhere = "meta";

// The device "cpu", "cuda:N" or kNowhere. Throws ERR_DEVICE, with the reason, if it is unavailable.
c10::Device resolve_device(const std::string& name);

// The same, and throws ERR_ARGUMENT for the CPU.
c10::Device resolve_cuda_device(const std::string& name);

// Memory of a CUDA device for this process: still available to it, held by it, and the most it ever held. Throws as
// resolve_cuda_device does.
struct DeviceMemory {
  int64_t free_bytes;
  int64_t held_bytes;
  int64_t peak_bytes;
};
DeviceMemory device_memory(const std::string& name);

// What the maker calls a CUDA device. Throws as device_memory does.
std::string device_name(const std::string& name);

// RAII guard: makes a CUDA device, and a stream of it if not null, current on this thread; no effect on the CPU. Hold one around any
// allocation or launch.
class DeviceScope {
 public:
  explicit DeviceScope(const c10::Device& device, const c10::Stream* stream = nullptr);

 private:
  std::shared_ptr<void> guards_;
};

}  // namespace magrpo::core
