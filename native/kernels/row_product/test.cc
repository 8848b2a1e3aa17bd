// The product of few rows against loops in double, and a row alone against the row in a batch.
#include <ATen/TensorOperators.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/row_product/row_product.h"
#include "test/harness.h"
#include "test/kernel_versions.h"
#include "test/tiny_decoder.h"

namespace magrpo::kernels {
namespace {

using test::kVersions;
using test::name_of;
using test::Version;

void run(Version version, const RowProduct& product, int64_t begin, int64_t end) {
  if (version == Version::kCpu) row_product(product, begin, end);
  else row_product_cuda(product, begin, end, nullptr);
}

struct Operands {
  at::Tensor x, weight, bias;
  RowProduct product(std::vector<float>& y, int64_t rows, bool has_bias) const {
    y.assign(static_cast<size_t>(rows * weight.size(0)), -1.0f);
    return {x.const_data_ptr<float>(),
            weight.const_data_ptr(),
            has_bias ? bias.const_data_ptr<float>() : nullptr,
            y.data(),
            rows,
            weight.size(1),
            weight.size(0),
            x.size(1),
            weight.size(0),
            weight.scalar_type() == at::kBFloat16};
  }
};

Operands operands(int64_t rows, int64_t in, int64_t out, int64_t padding, at::ScalarType type) {
  return {test::random({rows, in + padding}, 1), test::random({out, in}, 2).to(type), test::random({out}, 3)};
}

}  // namespace

TEST("row product: every version equals loops in double for all shapes, strides and both dtypes") {
  for (const auto type : {at::kFloat, at::kBFloat16})
    for (const int64_t rows : {1, 2, 3, 4, 5, 7, 8, 13, 64})
      for (const int64_t in : {1, 7, 8, 16, 31, 64, 100})
        for (const int64_t out : {1, 2, 3, 4, 5, 10}) {
          const Operands sizes = operands(rows, in, out, 3, type);
          std::vector<float> seen, expected;
          row_product_reference(sizes.product(expected, rows, out % 2 == 0), 0, out);
          for (const Version version : kVersions) {
            run(version, sizes.product(seen, rows, out % 2 == 0), 0, out);
            for (size_t i = 0; i < seen.size(); ++i)
              EXPECT(std::abs(seen[i] - expected[i]) < 1e-5 * (1.0 + std::sqrt(in)), name_of(version));
          }
        }
}

TEST("row product: many rows go in chunks, and each row stays what it is alone, bit for bit") {
  for (const int64_t rows : {192, 193, 400}) {
    const Operands sizes = operands(rows, 40, 9, 2, at::kFloat);
    std::vector<float> seen, expected, alone(9);
    row_product_reference(sizes.product(expected, rows, true), 0, 9);
    RowProduct product = sizes.product(seen, rows, true);
    row_product(product, 0, 9);
    product.rows = 1;
    for (int64_t row = 0; row < rows; ++row, product.x += product.x_stride) {
      product.y = alone.data();
      row_product(product, 0, 9);
      for (int64_t c = 0; c < 9; ++c) {
        EXPECT(std::abs(seen[row * 9 + c] - expected[row * 9 + c]) < 1e-4, "row ", row, " of ", rows);
        EXPECT(seen[row * 9 + c] == alone[c], "row ", row, " of ", rows);
      }
    }
  }
}

TEST("row product: scales and adds to what is there, at any stride") {
  const Operands sizes = operands(6, 40, 9, 0, at::kFloat);
  const auto shifted = [&](std::vector<float>& y) {
    std::vector<float> unused;
    RowProduct product = sizes.product(unused, 6, true);
    y.assign(6 * 20, 0.5f);
    product.y = y.data() + 2;
    product.y_stride = 20;
    product.scale = -1.5f;
    product.adds = true;
    return product;
  };
  std::vector<float> seen, expected;
  row_product_reference(shifted(expected), 0, 9);
  for (const Version version : kVersions) {
    run(version, shifted(seen), 0, 9);
    for (size_t i = 0; i < seen.size(); ++i) EXPECT(std::abs(seen[i] - expected[i]) < 1e-4, name_of(version));
    EXPECT(seen[1] == 0.5f && seen[11] == 0.5f && seen[2] != 0.5f, name_of(version));
  }
}

TEST("row product: writes only the columns it is asked for") {
  const Operands sizes = operands(5, 24, 11, 0, at::kFloat);
  std::vector<float> part, whole;
  row_product_reference(sizes.product(whole, 5, false), 0, 11);
  for (const Version version : kVersions) {
    run(version, sizes.product(part, 5, false), 3, 9);
    for (int64_t i = 0; i < 55; ++i) {
      const int64_t column = i % 11;
      if (column >= 3 && column < 9) EXPECT(std::abs(part[i] - whole[i]) < 1e-4, name_of(version));
      else EXPECT(part[i] == -1.0f, name_of(version));
    }
  }
}

TEST("row product: a row alone equals the row in a batch, bit for bit") {
  for (const Version version : kVersions)
    for (const auto type : {at::kFloat, at::kBFloat16}) {
      const int64_t rows = 23, in = 77, out = 19;
      const Operands sizes = operands(rows, in, out, 0, type);
      std::vector<float> batch, alone;
      run(version, sizes.product(batch, rows, true), 0, out);
      for (int64_t r = 0; r < rows; ++r) {
        RowProduct one = sizes.product(alone, 1, true);
        one.x += r * in;
        run(version, one, 0, 7);  // and however the columns are cut
        run(version, one, 7, out);
        EXPECT(std::memcmp(alone.data(), batch.data() + r * out, out * sizeof(float)) == 0, name_of(version));
      }
    }
}

}  // namespace magrpo::kernels
