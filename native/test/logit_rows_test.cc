// Rows of logits: normalisation, entropy and gradients against loops in double.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/logit_rows.h"
#include "test/harness.h"
#include "test/kernel_versions.h"
#include "test/tiny_decoder.h"

namespace magrpo::kernels {
namespace {

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

TEST("logit rows: gradients agree with the reference, with and without an entropy term") {
  for (const int64_t n : {1, 7, 513, 3000})
    for (const float d_entropy : {0.0f, 0.4f}) {
      auto row = row_of(n, 6.0, static_cast<uint64_t>(n) + 1);
      if (n > 7) row[3] = -std::numeric_limits<float>::infinity();
      const auto [highest, sum, weighted] = logit_moments_reference(row.data(), n, 1.0f);
      const LogitGradient gradient{.log_sum = static_cast<float>(highest + std::log(sum)),
                                   .entropy = static_cast<float>(std::log(sum) - weighted / sum),
                                   .d_log_prob = -1.7f,
                                   .d_entropy = d_entropy,
                                   .target = n / 2};
      auto expected = row;
      logit_gradient(row.data(), n, gradient);
      logit_gradient_reference(expected.data(), n, gradient);
      for (int64_t i = 0; i < n; ++i) EXPECT_NEAR(row[i], expected[i], 3e-6, n, " at ", i);
    }
}

TEST("logit rows: the CUDA source agrees with the reference, gradients too") {
  if (!test::kHasCudaOnCpu) return;
  for (const int64_t n : {1, 7, 300, 1025})
    for (const bool has_entropy : {false, true}) {
      const int64_t rows = 3;
      std::vector<float> logits = row_of(rows * n, 6.0, static_cast<uint64_t>(n));
      if (n > 7) logits[3] = -std::numeric_limits<float>::infinity();
      const std::vector<int64_t> targets{0, n / 2, n - 1};
      const std::vector<float> d_log_probs{-1.7f, 0.0f, 2.0f}, d_entropies{0.4f, -0.3f, 0.0f};
      std::vector<float> log_probs(rows), log_sums(rows), entropies(rows), expected = logits;
      read_logits_cuda(logits.data(), rows, n, targets.data(), log_probs.data(), log_sums.data(), entropies.data(), nullptr);
      for (int64_t r = 0; r < rows; ++r) {
        const auto [highest, sum, weighted] = logit_moments_reference(logits.data() + r * n, n, 1.0f);
        EXPECT_NEAR(log_sums[r], highest + std::log(sum), 1e-5, n);
        EXPECT_NEAR(entropies[r], std::log(sum) - weighted / sum, 1e-5, n);
        EXPECT_NEAR(log_probs[r], logits[r * n + targets[r]] - highest - std::log(sum), 1e-5, n);
        logit_gradient_reference(expected.data() + r * n, n,
                                 {log_sums[r], entropies[r], d_log_probs[r], has_entropy ? d_entropies[r] : 0.0f, targets[r]});
      }
      logit_gradients_cuda(logits.data(), rows, n, targets.data(), log_sums.data(), entropies.data(), d_log_probs.data(),
                           has_entropy ? d_entropies.data() : nullptr, nullptr);
      for (int64_t i = 0; i < rows * n; ++i) EXPECT_NEAR(logits[i], expected[i], 3e-6, n, " at ", i);
    }
}

}  // namespace
}  // namespace magrpo::kernels
