// What adapters add to a product of few rows: every version against loops in double, and a row alone against the row in a batch.
#include <ATen/TensorOperators.h>

#include <cmath>

#include "kernels/low_rank/low_rank.h"
#include "test/harness.h"
#include "test/kernel_versions.h"
#include "test/tiny_decoder.h"

namespace magrpo::kernels {
namespace {

using test::kVersions;
using test::name_of;
using test::Version;

struct Operands {
  at::Tensor inner, b, y;  // (rows, rank), (rank, out) of any strides, (rows, out + 3)
  LowRankProduct product(at::Tensor& to) const {
    to = y.clone();
    return {.inner = inner.const_data_ptr<float>(),
            .b = b.const_data_ptr<float>(),
            .y = to.mutable_data_ptr<float>(),
            .rows = inner.size(0),
            .rank = inner.size(1),
            .out = b.size(1),
            .b_rank_stride = b.stride(0),
            .b_out_stride = b.stride(1),
            .y_stride = y.size(1),
            .scale = 0.75f};
  }
};

Operands operands(int64_t rows, int64_t rank, int64_t out) {
  return {test::random({rows, rank}, 1), test::random({rank, out}, 2), test::random({rows, out + 3}, 3)};
}

void add(Version version, const LowRankProduct& product, int64_t begin, int64_t end) {
  if (version == Version::kCudaOnCpu) low_rank_add_cuda(product, begin, end, nullptr);
  else low_rank_add(product, begin, end);
}

}  // namespace

TEST("low rank: every version equals loops in double for all shapes, and adds to what is there") {
  for (const int64_t rows : {1, 2, 3, 4, 5, 8, 13})
    for (const int64_t rank : {1, 2, 8, 16, 33})
      for (const int64_t out : {1, 7, 8, 9, 16, 31, 40, 150}) {
        const Operands sizes = operands(rows, rank, out);
        at::Tensor seen, expected;
        low_rank_add_reference(sizes.product(expected), 0, out);
        for (const Version version : kVersions) {
          add(version, sizes.product(seen), 0, out);
          EXPECT(test::largest_difference(seen, expected) < 1e-5 * std::sqrt(rank), rows, " x ", rank, " x ", out, ", ", name_of(version));
          if (version == Version::kCpu) continue;
          // B as a parameter is, (out, rank).
          const Operands turned{sizes.inner, sizes.b.t().contiguous().t(), sizes.y};
          at::Tensor other;
          add(version, turned.product(other), 0, out);
          EXPECT(other.equal(seen), rows, " x ", rank, " x ", out, ", ", name_of(version), ", B transposed");
        }
      }
}

TEST("low rank: in every version a row alone and any part of the columns equal the whole, bit for bit") {
  const Operands all = operands(11, 16, 45);
  for (const Version version : kVersions) {
    at::Tensor whole, parts;
    add(version, all.product(whole), 0, 45);
    const LowRankProduct product = all.product(parts);
    const int64_t bounds[] = {0, 1, 12, 30, 45};
    for (int i = 0; i < 4; ++i) add(version, product, bounds[i], bounds[i + 1]);
    EXPECT(parts.equal(whole), name_of(version));
    for (int64_t row = 0; row < 11; ++row) {
      const Operands one{all.inner.narrow(0, row, 1), all.b, all.y.narrow(0, row, 1)};
      at::Tensor alone;
      add(version, one.product(alone), 0, 45);
      EXPECT(alone.equal(whole.narrow(0, row, 1)), name_of(version), ", row ", row);
    }
  }
}

}  // namespace magrpo::kernels
