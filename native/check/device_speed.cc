#include "check/device_speed.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "core/device.h"
#include "core/device_cuda.h"

namespace magrpo::check {
namespace {

void wait_for(const c10::Device& device) {
  if constexpr (core::kHasCuda)
    if (device.is_cuda()) core::cuda::synchronize(*core::cuda::record_event(device));
}

// Seconds of one call: enough of them are queued before the host waits that its own time does not count.
double least_seconds(const c10::Device& device, const std::function<void()>& work) {
  constexpr double kRound = 0.1;
  const auto seconds_of = [&](int64_t calls) {
    const auto begin = std::chrono::steady_clock::now();
    for (int64_t call = 0; call < calls; ++call) work();
    wait_for(device);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  work();  // libraries choose their algorithms in the first call
  wait_for(device);
  int64_t calls = 1;
  double seconds = seconds_of(calls);
  while (seconds < kRound) seconds = seconds_of(calls *= 2);
  double least = seconds / static_cast<double>(calls);
  for (int round = 0; round < 3; ++round) least = std::min(least, seconds_of(calls) / static_cast<double>(calls));
  return least;
}

double product_speed(const c10::Device& device, int64_t size, at::ScalarType type) {
  const auto options = at::TensorOptions(type).device(device);
  const at::Tensor a = at::ones({size, size}, options), b = at::ones({size, size}, options);
  at::Tensor y = at::empty({size, size}, options);
  const double operations = 2.0 * static_cast<double>(size) * static_cast<double>(size) * static_cast<double>(size);
  return operations / least_seconds(device, [&] { at::mm_out(y, a, b); });
}

double copy_speed(const c10::Device& device, int64_t bytes) {
  const at::Tensor from = at::ones({bytes}, at::TensorOptions(at::kByte).device(device));
  at::Tensor to = at::empty({bytes}, from.options());
  return 2.0 * static_cast<double>(bytes) / least_seconds(device, [&] { to.copy_(from); });
}

}  // namespace

DeviceSpeed measure_speed(const c10::Device& device, int64_t bytes, int64_t size) {
  const at::NoGradGuard no_grad;
  const core::DeviceScope scope(device);
  return {copy_speed(device, bytes), product_speed(device, size, at::kFloat), product_speed(device, size, at::kBFloat16)};
}

}  // namespace magrpo::check
