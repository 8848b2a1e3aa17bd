// Resolves and checks a device name; says why CUDA cannot be had.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <memory>
#include <string>

namespace magrpo::core {

// Whether this is a CUDA build. Code behind `if constexpr (kHasCuda)` may call what only CUDA builds link.
#if defined(MAGRPO_CUDA)
inline constexpr bool kHasCuda = true;
#else
inline constexpr bool kHasCuda = false;
#endif

// Why CUDA is off: "cpu_build", "no_driver", "no_device" or "driver_too_old"; empty if it can be used.
std::string cuda_unavailable_reason();

// What this build is for: "cpu", or the CUDA version as "cu130".
std::string build_variant();

// "cpu" or "cuda:N" as a device. Throws ERR_DEVICE, with the reason, if it cannot be had.
c10::Device resolve_device(const std::string& name);

// Memory of a CUDA device for this process: what it may still take, and what it holds. Throws ERR_DEVICE as resolve_device does, and
// ERR_ARGUMENT for the CPU.
struct DeviceMemory {
  int64_t free_bytes;
  int64_t held_bytes;
};
DeviceMemory device_memory(const std::string& name);

// Makes a CUDA device, and a stream of it if not null, this thread's own while it lives; nothing on the CPU. Work that allocates on
// a device or queues kernels belongs into one.
class DeviceScope {
 public:
  explicit DeviceScope(const c10::Device& device, const c10::Stream* stream = nullptr);

 private:
  std::shared_ptr<void> guards_;
};

}  // namespace magrpo::core
