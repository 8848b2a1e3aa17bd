#include <ATen/TensorOperators.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/square.h>

#include <string>

#include "bench/kernel_cases.h"
#include "model/rms_norm.h"

namespace magrpo::bench {
namespace {

at::Tensor plain_norm(const at::Tensor& x, const at::Tensor& weight) {
  return x * at::rsqrt(x.square().mean(-1, true) + kEps) * weight;
}

void add_norms(std::vector<KernelCase>& cases) {
  const at::Tensor weight = variable({kWidth});
  for (const int64_t rows : {kGroup, kTokens}) {
    const at::Tensor x = variable({rows, kWidth});
    const std::string shape = std::to_string(rows) + " x 512";
    const Compute ours = [=] { return model::rms_norm(x, weight, {kEps}); }, aten = [=] { return plain_norm(x, weight); };
    cases.push_back({"rms_norm", shape, kFloat * 2 * x.numel(), 4 * x.numel(), without_gradient(ours), without_gradient(aten)});
    if (rows == kTokens)
      cases.push_back({"rms_norm and gradient", shape, kFloat * 5 * x.numel(), 14 * x.numel(), with_gradient(ours, {x, weight}),
                       with_gradient(aten, {x, weight})});
  }
}

const Registration norms(add_norms);

}  // namespace
}  // namespace magrpo::bench
