#include "bench/kernel_cases.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

namespace magrpo::bench {
namespace {

// In a function, as registrations run before main in any order.
std::vector<AddCases>& registered() {
  static std::vector<AddCases> all;
  return all;
}

}  // namespace

Registration::Registration(AddCases add) { registered().push_back(add); }

std::function<void()> without_gradient(Compute compute) {
  return [compute] {
    at::NoGradGuard no_grad;
    compute();
  };
}

std::function<void()> with_gradient(Compute compute, std::vector<at::Tensor> inputs) {
  return [compute, inputs] {
    const at::Tensor y = compute();
    y.backward(at::ones_like(y));
    for (const at::Tensor& x : inputs) x.mutable_grad().reset();
  };
}

at::Tensor variable(at::IntArrayRef sizes) { return at::randn(sizes).requires_grad_(true); }

std::vector<KernelCase> kernel_cases() {
  std::vector<KernelCase> cases;
  for (const AddCases add : registered()) add(cases);
  std::stable_sort(cases.begin(), cases.end(), [](const KernelCase& a, const KernelCase& b) { return a.kernel < b.kernel; });
  return cases;
}

}  // namespace magrpo::bench
