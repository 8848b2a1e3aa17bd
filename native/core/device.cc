#include "core/device.h"

#include <ATen/Context.h>

#include "core/errors.h"

namespace magrpo {

std::string cuda_unavailable_reason() {
  // A CPU build of libtorch has no CUDA hooks at all. The other three reasons need the CUDA runtime and come with the CUDA build.
  if (!at::hasCUDA() && !at::Context::hasCUDART()) return "cpu_build";
  return at::hasCUDA() ? "" : "no_device";
}

c10::Device resolve_device(const std::string& name) {
  if (name == "cpu") return c10::Device(c10::kCPU);
  if (name.rfind("cuda", 0) != 0)
    throw Error("ERR_DEVICE", concat("Expected device \"cpu\" or \"cuda:N\" but received \"", name, "\"."));
  const std::string reason = cuda_unavailable_reason();
  if (!reason.empty())
    throw Error("ERR_DEVICE", concat("Device \"", name, "\" cannot be had (", reason,
                                     "): ", reason == "cpu_build"
                                                ? "this addon was built against a CPU libtorch; set it up again with MAGRPO_CUDA=1"
                                                : "see `magrpo doctor`",
                                     ". Use device \"cpu\" to train on the processor."));
  return c10::Device(name);
}

}  // namespace magrpo
