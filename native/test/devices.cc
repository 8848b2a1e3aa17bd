#include "test/devices.h"

#include <cstdio>
#include <cstdlib>

#include "core/device.h"
#include "core/device_cuda.h"
#include "software_cuda/table.h"
#include "test/tiny_decoder.h"

namespace magrpo::test {

std::vector<at::Device> cuda_devices() {
#if !defined(MAGRPO_CUDA)
  ::setenv("MAGRPO_DEVICE", "software", 1);
  software_cuda::load_if_wanted();
#endif
  const std::string reason = core::cuda_unavailable_reason();
  if (!reason.empty()) {
    std::printf("    skipped, no CUDA device: %s\n", reason.c_str());
    return {};
  }
  std::vector<at::Device> devices;
  for (int i = 0; i < core::cuda::device_count() && i < 2; ++i) devices.emplace_back(at::kCUDA, static_cast<at::DeviceIndex>(i));
  return devices;
}

Switch::Switch(const char* name) : name_(name) { ::setenv(name, "1", 1); }
Switch::~Switch() { ::unsetenv(name_); }

std::shared_ptr<model::Decoder> moved(const model::Decoder& decoder, const at::Device& device) {
  model::Weights weights = model::allocate_weights(decoder.config(), decoder.weights().embedding.options().device(device));
  const auto to = parameters(decoder.config(), weights), from = parameters(decoder.config(), decoder.weights());
  for (size_t i = 0; i < to.size(); ++i) at::Tensor(to[i]).copy_(from[i]);
  return std::make_shared<model::Decoder>(decoder.config(), std::move(weights));
}

model::Adapter moved(const model::Adapter& adapter, const at::Device& device) {
  model::Adapter copy = adapter;
  for (auto& layer : copy.layers)
    for (auto& [a, b] : layer)
      if (a.defined()) {
        a = a.to(device);
        b = b.to(device);
      }
  return copy;
}

}  // namespace magrpo::test
