// Resolves and checks a device name; says why CUDA cannot be had.
#pragma once

#include <c10/core/Device.h>

#include <string>

namespace magrpo {

// Why CUDA is off: "cpu_build", "no_driver", "no_device" or "driver_too_old"; empty if it can be used.
std::string cuda_unavailable_reason();

// "cpu" or "cuda:N" as a device. Throws ERR_DEVICE, with the reason, if it cannot be had.
c10::Device resolve_device(const std::string& name);

}  // namespace magrpo
