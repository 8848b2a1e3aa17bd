#include "core/device.h"

#include "core/device_cuda.h"
#include "core/errors.h"

namespace magrpo::core {
namespace {

// The remedy for a reason, as the end of a message.
const char* remedy(const std::string& reason) {
  if (reason == "cpu_build") return "this addon was built against a CPU libtorch; set it up again with MAGRPO_CUDA=1";
  if (reason == "no_driver") return "there is no NVIDIA driver on this machine";
  if (reason == "driver_too_old") return "the NVIDIA driver is too old for the CUDA version this addon was built with; update it";
  return "the NVIDIA driver sees no GPU; `nvidia-smi` and CUDA_VISIBLE_DEVICES tell more";
}

}  // namespace

std::string cuda_unavailable_reason() {
  if constexpr (kHasCuda) return cuda::unavailable_reason();
  else return "cpu_build";
}

std::string build_variant() {
  if constexpr (kHasCuda) return cuda::variant();
  else return "cpu";
}

c10::Device resolve_device(const std::string& name) {
  if (name == "cpu") return c10::Device(c10::kCPU);
  if (name == kNowhere) return c10::Device(c10::kMeta);
  check(name.starts_with("cuda"), "ERR_DEVICE", "Expected device \"cpu\" or \"cuda:N\" but received \"", name, "\".");
  const std::string reason = cuda_unavailable_reason();
  check(reason.empty(), "ERR_DEVICE", "Device \"", name, "\" cannot be had (", reason, "): ", remedy(reason),
        ". Use device \"cpu\" to train on the processor.");
  const c10::Device device(name);
  if constexpr (kHasCuda)
    check(device.index() < cuda::device_count(), "ERR_DEVICE", "Expected device \"cuda:0\" to \"cuda:", cuda::device_count() - 1,
          "\" but received \"", name, "\".");
  return device;
}

c10::Device resolve_cuda_device(const std::string& name) {
  const c10::Device device = resolve_device(name);
  check_argument(device.is_cuda(), "Expected a CUDA device but received \"", name, "\".");
  return device;
}

DeviceMemory device_memory(const std::string& name) {
  [[maybe_unused]] const c10::Device device = resolve_cuda_device(name);
  if constexpr (kHasCuda) {
    const auto [free, reserved, allocated, peak] = cuda::device_memory(device);
    return {free + reserved - allocated, allocated, peak};
  }
  return {};
}

std::string device_name(const std::string& name) {
  [[maybe_unused]] const c10::Device device = resolve_cuda_device(name);
  if constexpr (kHasCuda) return cuda::device_name(device);
  return {};
}

DeviceScope::DeviceScope([[maybe_unused]] const c10::Device& device, [[maybe_unused]] const c10::Stream* stream) {
  if constexpr (kHasCuda)
    if (device.is_cuda()) guards_ = cuda::make_guard(device, stream);
}

}  // namespace magrpo::core
