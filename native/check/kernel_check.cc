#include "check/kernel_check.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>

#include "core/device.h"
#include "core/errors.h"

namespace magrpo::check {
namespace {

// "name[i, j]" of the element at `flat`.
std::string place_of(const std::string& name, const at::Tensor& tensor, int64_t flat) {
  std::string indices;
  for (int64_t dim = tensor.dim() - 1; dim >= 0; flat /= tensor.size(dim), --dim)
    indices = std::to_string(flat % tensor.size(dim)) + (indices.empty() ? "" : ", ") + indices;
  return name + "[" + indices + "]";
}

// Notes the largest difference between two outputs in `result`. Equal numbers, infinite ones and NaN included, do not differ.
void compare(const std::string& name, const at::Tensor& seen, const at::Tensor& expected, KernelResult& result) {
  const at::Tensor a = seen.to(at::kCPU).to(at::kDouble).contiguous(), b = expected.to(at::kDouble).contiguous();
  core::check(a.sizes() == b.sizes(), "ERR_NATIVE", "Expected as many elements of ", name, " from the device as from the CPU.");
  const double *from_device = a.const_data_ptr<double>(), *from_cpu = b.const_data_ptr<double>();
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double x = from_device[i], y = from_cpu[i];
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    const double difference = std::abs(x - y) / std::max(1.0, std::abs(y));
    if (difference <= result.difference || std::isnan(result.difference)) continue;
    result.difference = difference;
    result.where = place_of(name, a, i);
    result.expected = y;
    result.seen = x;
  }
}

}  // namespace

std::vector<KernelCase> kernel_cases(bool quick) {
  std::vector<KernelCase> cases;
  add_layer_cases(cases, quick);
  add_attention_cases(cases, quick);
  add_logit_cases(cases, quick);
  return cases;
}

KernelResult run_case(const KernelCase& kernel_case, const at::Device& device) {
  KernelResult result{kernel_case.kernel, kernel_case.shape, kernel_case.dtype, 0.0, kernel_case.bound};
  const at::NoGradGuard no_grad;
  try {
    const Outputs expected = kernel_case.run(at::kCPU);
    const core::DeviceScope scope(device);
    const Outputs seen = kernel_case.run(device);
    for (size_t i = 0; i < expected.size(); ++i) compare(expected[i].first, seen[i].second, expected[i].second, result);
    result.passed = result.difference <= result.bound;
  } catch (const std::exception& error) {
    result.where = error.what();
    result.difference = NAN;
  }
  return result;
}

bool KernelCheck::advance() {
  constexpr std::chrono::milliseconds kSlice{100};
  const auto begin = std::chrono::steady_clock::now();
  while (results_.size() < cases_.size() && std::chrono::steady_clock::now() - begin < kSlice)
    results_.push_back(run_case(cases_[results_.size()], device_));
  return results_.size() == cases_.size();
}

}  // namespace magrpo::check
