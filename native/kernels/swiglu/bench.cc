#include <ATen/TensorOperators.h>
#include <ATen/ops/silu.h>

#include <string>

#include "bench/kernel_cases.h"
#include "model/swiglu.h"

namespace magrpo::bench {
namespace {

void add_gates(std::vector<KernelCase>& cases) {
  for (const int64_t rows : {kGroup, kTokens}) {
    const at::Tensor x = variable({rows, 2 * kMlp});
    const std::string shape = std::to_string(rows) + " x 2 x 1536";
    const Compute ours = [=] { return model::gated(kernels::Activation::silu, x); },
                  aten = [=] { return at::silu(x.narrow(1, 0, kMlp)) * x.narrow(1, kMlp, kMlp); };
    // An exponential counts as ten operations.
    cases.push_back({"swiglu", shape, kFloat * (x.numel() + rows * kMlp), 13 * rows * kMlp, without_gradient(ours),
                     without_gradient(aten)});
    if (rows == kTokens)
      cases.push_back({"swiglu and gradient", shape, kFloat * (3 * x.numel() + 2 * rows * kMlp), 33 * rows * kMlp,
                       with_gradient(ours, {x}), with_gradient(aten, {x})});
  }
}

const Registration gates(add_gates);

}  // namespace
}  // namespace magrpo::bench
