#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

#include <string>

#include "bench/kernel_cases.h"
#include "model/rotary.h"

namespace magrpo::bench {
namespace {

at::Tensor plain_rotation(const at::Tensor& x, const model::Rotation& rotation) {
  const at::Tensor first = x.narrow(-1, 0, kDim / 2), second = x.narrow(-1, kDim / 2, kDim / 2);
  return at::cat({first * rotation.cos - second * rotation.sin, second * rotation.cos + first * rotation.sin}, -1);
}

void add_rotations(std::vector<KernelCase>& cases) {
  const at::Tensor frequencies = model::inverse_frequencies(model::Rope{}, kDim);
  for (const int64_t rows : {kGroup, kTokens}) {
    const auto rotation = model::rotation(frequencies, at::arange(rows, at::kLong));
    const at::Tensor x = variable({rows, kHeads, kDim});
    const std::string shape = std::to_string(rows) + " x 8 x 64";
    const Compute ours = [=] { return model::rotate(x, rotation); }, aten = [=] { return plain_rotation(x, rotation); };
    cases.push_back(
        {"rotary", shape, kFloat * (2 * x.numel() + rows * kDim), 3 * x.numel(), without_gradient(ours), without_gradient(aten)});
    if (rows == kTokens)
      cases.push_back({"rotary and gradient", shape, kFloat * (4 * x.numel() + 2 * rows * kDim), 6 * x.numel(), with_gradient(ours, {x}),
                       with_gradient(aten, {x})});
  }
}

const Registration rotations(add_rotations);

}  // namespace
}  // namespace magrpo::bench
