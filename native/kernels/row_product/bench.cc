#include <ATen/core/Tensor.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>

#include <string>

#include "bench/kernel_cases.h"
#include "model/linear.h"

namespace magrpo::bench {
namespace {

void add_products(std::vector<KernelCase>& cases) {
  const at::Tensor weight = at::randn({2 * kMlp, kWidth});
  for (const int64_t rows : {1, 8, 16, 64, 256}) {
    const at::Tensor x = at::randn({rows, kWidth});
    cases.push_back({"row_product", std::to_string(rows) + " x 512 x 3072", kFloat * (weight.numel() + rows * (kWidth + 2 * kMlp)),
                     2 * rows * weight.numel(), without_gradient([=] { return model::project(x, weight); }),
                     without_gradient([=] { return at::linear(x, weight); })});
  }
}

const Registration products(add_products);

}  // namespace
}  // namespace magrpo::bench
