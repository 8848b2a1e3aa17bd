// Rows of logits: normalisation, entropy and gradients against loops in double.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/logit_rows/logit_rows.h"
#include "test/harness.h"
#include "test/kernel_versions.h"
#include "test/tiny_decoder.h"

namespace magrpo::kernels {
namespace {

using test::kVersions;
using test::name_of;
using test::Version;

std::vector<float> row_of(int64_t n, double scale, uint64_t seed) {
  const at::Tensor values = test::random({n}, seed);
  std::vector<float> row(values.const_data_ptr<float>(), values.const_data_ptr<float>() + n);
  for (float& value : row) value *= static_cast<float>(scale);
  return row;
}

TEST("logit rows: moments agree with the reference at any size, scale and temperature") {
  for (const int64_t n : {1, 7, 512, 513, 5000})
    for (const double scale : {0.1, 5.0, 60.0})
      for (const float inverse : {1.0f, 0.3f, 4.0f}) {
        auto row = row_of(n, scale, static_cast<uint64_t>(n));
        if (n > 7) row[3] = -std::numeric_limits<float>::infinity();
        std::vector<float> block_sums;
        const auto seen = logit_moments(row.data(), n, inverse, &block_sums);
        const auto expected = logit_moments_reference(row.data(), n, inverse);
        EXPECT(seen.highest == expected.highest, n, " ", scale);
        EXPECT_NEAR(seen.sum / expected.sum, 1.0, 2e-6, n, " ", scale, " ", inverse);
        EXPECT_NEAR(seen.weighted / expected.sum, expected.weighted / expected.sum, 5e-6, n, " ", scale, " ", inverse);
        double total = 0.0;
        for (const float sum : block_sums) total += sum;
        EXPECT(total == seen.sum && static_cast<int64_t>(block_sums.size()) == (n + kLogitBlock - 1) / kLogitBlock, n);
      }
}

TEST("logit rows: NaN and infinity show in the sum, wherever they stand") {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    for (const int64_t at : {0, 5, 700}) {
      auto row = row_of(701, 1.0, 4);
      row[at] = bad;
      EXPECT(!std::isfinite(logit_moments(row.data(), 701).sum), bad, " at ", at);
    }
}

// Rows of logits, and what is asked of them: one entry a row each.
struct Rows {
  std::vector<float> logits;
  int64_t rows, n;
  std::vector<int64_t> targets;
  std::vector<float> d_log_probs, d_entropies;  // the latter may be empty
};

struct Read {
  std::vector<float> log_probs, log_sums, entropies;
};

// What a version reads in the rows; then their logits become gradients.
Read run(Version version, Rows& work) {
  const auto size = static_cast<size_t>(work.rows);
  Read read{std::vector<float>(size), std::vector<float>(size), std::vector<float>(size)};
  const bool has_entropy = !work.d_entropies.empty();
  if (version == Version::kCudaOnCpu) {
    read_logits_cuda(work.logits.data(), work.rows, work.n, work.targets.data(), read.log_probs.data(), read.log_sums.data(),
                     read.entropies.data(), nullptr);
    logit_gradients_cuda(work.logits.data(), work.rows, work.n, work.targets.data(), read.log_sums.data(), read.entropies.data(),
                         work.d_log_probs.data(), has_entropy ? work.d_entropies.data() : nullptr, nullptr);
    return read;
  }
  for (int64_t r = 0; r < work.rows; ++r) {
    float* logits = work.logits.data() + r * work.n;
    const auto [highest, sum, weighted] = logit_moments(logits, work.n);
    read.log_sums[r] = static_cast<float>(highest + std::log(sum));
    read.entropies[r] = static_cast<float>(std::log(sum) - weighted / sum);
    read.log_probs[r] = static_cast<float>(logits[work.targets[r]] - highest - std::log(sum));
    logit_gradient(logits, work.n,
                   {read.log_sums[r], read.entropies[r], work.d_log_probs[r], has_entropy ? work.d_entropies[r] : 0.0f, work.targets[r]});
  }
  return read;
}

TEST("logit rows: what every version reads, and its gradients, agree with the reference, with and without an entropy term") {
  for (const int64_t n : {1, 7, 300, 513, 1025, 3000})
    for (const bool has_entropy : {false, true})
      for (const Version version : kVersions) {
        Rows work{row_of(3 * n, 6.0, static_cast<uint64_t>(n)), 3, n, {0, n / 2, n - 1}, {-1.7f, 0.0f, 2.0f}, {}};
        if (has_entropy) work.d_entropies = {0.4f, -0.3f, 0.0f};
        if (n > 7) work.logits[3] = -std::numeric_limits<float>::infinity();
        std::vector<float> expected = work.logits;
        const std::vector<float> logits = work.logits;
        const Read read = run(version, work);
        for (int64_t r = 0; r < work.rows; ++r) {
          const auto [highest, sum, weighted] = logit_moments_reference(logits.data() + r * n, n, 1.0f);
          EXPECT_NEAR(read.log_sums[r], highest + std::log(sum), 1e-5, n, ", ", name_of(version));
          EXPECT_NEAR(read.entropies[r], std::log(sum) - weighted / sum, 1e-5, n, ", ", name_of(version));
          EXPECT_NEAR(read.log_probs[r], logits[r * n + work.targets[r]] - highest - std::log(sum), 1e-5, n, ", ", name_of(version));
          logit_gradient_reference(
              expected.data() + r * n, n,
              {read.log_sums[r], read.entropies[r], work.d_log_probs[r], has_entropy ? work.d_entropies[r] : 0.0f, work.targets[r]});
        }
        for (int64_t i = 0; i < work.rows * n; ++i) EXPECT_NEAR(work.logits[i], expected[i], 3e-6, n, " at ", i, ", ", name_of(version));
      }
}

TEST("logit rows: every version shapes logits, and gradients back, as the reference does") {
  for (const int64_t n : {1, 7, 300, 1025})
    for (const Version version : kVersions)
      for (const bool is_marked : {false, true})
        for (const LogitShape shape : {LogitShape{1.0f / 0.7f, 1.0f}, LogitShape{1.0f, 1.3f}, LogitShape{0.5f, 0.8f}}) {
          std::vector<float> logits = row_of(2 * n, 4.0, static_cast<uint64_t>(n)), expected = logits;
          std::vector<uint8_t> marks(static_cast<size_t>(2 * n));
          for (size_t i = 0; i < marks.size(); ++i) marks[i] = i % 3 == 0 ? kSeen : i % 5 == 1 ? kCut : 0;
          uint8_t* bits = is_marked ? marks.data() : nullptr;
          std::vector<uint8_t> signs = marks;
          for (size_t i = 0; i < marks.size(); ++i)
            if ((marks[i] & kSeen) && logits[i] < 0.0f) signs[i] |= kNegative;
          shape_logits_reference(expected.data(), 2 * n, shape, bits);
          std::vector<float> gradients = row_of(2 * n, 1.0, 9), expected_gradients = gradients;
          if (version == Version::kCudaOnCpu) {
            shape_logits_cuda(logits.data(), 2, n, shape, bits, nullptr);
            if (is_marked) mark_negative_cuda(logits.data(), 2, n, bits, nullptr);
            unshape_gradients_cuda(gradients.data(), 2, n, shape, bits, nullptr);
          } else {
            shape_logits(logits.data(), 2 * n, shape, bits);
            if (is_marked) mark_negative(logits.data(), 2 * n, bits);
            unshape_gradient(gradients.data(), 2 * n, shape, bits);
          }
          unshape_gradient_reference(expected_gradients.data(), 2 * n, shape, is_marked ? signs.data() : nullptr);
          for (int64_t i = 0; i < 2 * n; ++i) {
            EXPECT(logits[i] == expected[i] || std::abs(logits[i] - expected[i]) < 2e-6 * std::abs(expected[i]), n, ", ", name_of(version));
            EXPECT_NEAR(gradients[i], expected_gradients[i], 1e-6, n, " at ", i, ", ", name_of(version));
          }
          if (is_marked) EXPECT(marks == signs, n, ", ", name_of(version));
        }
}

}  // namespace
}  // namespace magrpo::kernels
