// What adapters add to a product of few rows, against loops in double, and a row alone against the row in a batch.
#include <ATen/TensorOperators.h>

#include <cmath>

#include "kernels/low_rank.h"
#include "test/harness.h"
#include "test/tiny_decoder.h"

namespace magrpo::kernels {
namespace {

struct Operands {
  at::Tensor inner, b, y;
  LowRankProduct product(at::Tensor& to) const {
    to = y.clone();
    return {inner.const_data_ptr<float>(), b.const_data_ptr<float>(), to.mutable_data_ptr<float>(), inner.size(0), inner.size(1),
            b.size(1), y.size(1), 0.75f};
  }
};

Operands operands(int64_t rows, int64_t rank, int64_t out) {
  return {test::random({rows, rank}, 1), test::random({rank, out}, 2), test::random({rows, out + 3}, 3)};
}

}  // namespace

TEST("low rank: equals loops in double for all shapes, and adds to what is there") {
  for (const int64_t rows : {1, 2, 3, 4, 5, 8, 13})
    for (const int64_t rank : {1, 2, 8, 16, 33})
      for (const int64_t out : {1, 7, 8, 9, 16, 31, 40}) {
        const Operands sizes = operands(rows, rank, out);
        at::Tensor seen, expected;
        low_rank_add(sizes.product(seen), 0, out);
        low_rank_add_reference(sizes.product(expected), 0, out);
        EXPECT(test::largest_difference(seen, expected) < 1e-5 * std::sqrt(rank), rows, " x ", rank, " x ", out);
      }
}

TEST("low rank: a row alone and any part of the columns equal the whole, bit for bit") {
  const Operands all = operands(7, 16, 45);
  at::Tensor whole, parts;
  low_rank_add(all.product(whole), 0, 45);
  const LowRankProduct product = all.product(parts);
  const int64_t bounds[] = {0, 1, 12, 30, 45};
  for (int i = 0; i < 4; ++i) low_rank_add(product, bounds[i], bounds[i + 1]);
  EXPECT(parts.equal(whole));
  for (int64_t row = 0; row < 7; ++row) {
    const Operands one{all.inner.narrow(0, row, 1), all.b, all.y.narrow(0, row, 1)};
    at::Tensor alone;
    low_rank_add(one.product(alone), 0, 45);
    EXPECT(alone.equal(whole.narrow(0, row, 1)), "row ", row);
  }
}

}  // namespace magrpo::kernels
