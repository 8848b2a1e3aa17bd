#include <ATen/TensorOperators.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>

#include <string>

#include "bench/kernel_cases.h"
#include "core/parallel.h"
#include "kernels/low_rank/low_rank.h"

namespace magrpo::bench {
namespace {

// What an adapter of rank 16 adds to the gate and the up projection.
void add_low_rank(std::vector<KernelCase>& cases) {
  constexpr int64_t rank = 16;
  const at::Tensor b = at::randn({rank, 2 * kMlp});
  for (const int64_t rows : {kGroup, 4 * kGroup}) {
    const at::Tensor inner = at::randn({rows, rank}), y = at::randn({rows, 2 * kMlp});
    const auto ours = [=] {
      const kernels::LowRankProduct product{.inner = inner.const_data_ptr<float>(),
                                            .b = b.const_data_ptr<float>(),
                                            .y = y.mutable_data_ptr<float>(),
                                            .rows = rows,
                                            .rank = rank,
                                            .out = 2 * kMlp,
                                            .b_rank_stride = 2 * kMlp,
                                            .y_stride = 2 * kMlp,
                                            .scale = 0.5f};
      core::parallel_for(product.out, 512, [&](int64_t begin, int64_t end) { kernels::low_rank_add(product, begin, end); });
      return y;
    };
    cases.push_back({"low_rank", std::to_string(rows) + " x 16 x 3072", kFloat * (b.numel() + inner.numel() + 2 * y.numel()),
                     2 * rows * b.numel(), without_gradient(ours), without_gradient([=] { return y.add(at::mm(inner, b), 0.5); })});
  }
}

const Registration low_rank(add_low_rank);

}  // namespace
}  // namespace magrpo::bench
