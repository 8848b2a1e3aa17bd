// Drawing tokens from rows of logits: every version against loops in double.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/random.h"
#include "kernels/sample/sample.h"
#include "test/harness.h"
#include "test/kernel_versions.h"

namespace magrpo::kernels {
namespace {

using test::kVersions;
using test::name_of;
using test::Version;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kLargestUniform = 1.0 - 0x1.0p-53;

struct Rows {
  std::vector<float> logits;  // (rows, V), rows `stride` floats apart
  std::vector<double> uniforms;
  int64_t vocab, stride;

  int64_t rows() const { return static_cast<int64_t>(uniforms.size()); }
};

struct Drawn {
  std::vector<int32_t> tokens;
  std::vector<float> log_probs, entropies, model_log_probs, model_entropies;
};

// Outputs start as what no version gives: every row has to be written.
template <class Draw>
Drawn drawn(const Rows& from, double inverse_temperature, const Draw& draw) {
  const size_t rows = from.uniforms.size();
  const std::vector<float> none(rows, kInfinity);
  Drawn to{std::vector<int32_t>(rows, -1), none, none, none, none};
  draw(SampleRows{from.logits.data(), from.uniforms.data(), to.tokens.data(), to.log_probs.data(), to.entropies.data(),
                  to.model_log_probs.data(), to.model_entropies.data(), from.rows(), from.vocab, from.stride, inverse_temperature});
  return to;
}

Drawn drawn_by(Version version, const Rows& from, double inverse_temperature) {
  return drawn(from, inverse_temperature, [&](const SampleRows& sample) {
    if (version == Version::kCudaOnCpu) sample_rows_cuda(sample, nullptr);
    else sample_rows(sample, 0, sample.rows);
  });
}

// Logits whose cumulative distribution has no two steps within rounding of one another at the uniforms used.
Rows spread(int64_t vocab, int64_t padding) {
  Rows result{{}, {0.0, 0.25, 0.5, 0.75, 0.93, 0.999}, vocab, vocab + padding};
  result.logits.resize(static_cast<size_t>(result.rows() * result.stride), NAN);
  const core::RandomStream stream{7, 1, 2, 3, 4};
  for (int64_t i = 0; i < result.rows() * vocab; ++i)
    result.logits[i / vocab * result.stride + i % vocab] = static_cast<float>(12.0 * stream.uniform(static_cast<uint32_t>(i)) - 6.0);
  return result;
}

TEST("sample: every version draws what loops in double draw, with log-prob and entropy") {
  for (const int64_t vocab : {1, 5, 300, 1000, 5000})
    for (const double inverse : {0.0, 0.3, 1.0, 2.0}) {
      const Rows from = spread(vocab, 3);
      const Drawn expected = drawn(from, inverse, [&](const SampleRows& sample) { sample_rows_reference(sample, 0, sample.rows); });
      for (const Version version : kVersions) {
        const Drawn seen = drawn_by(version, from, inverse);
        for (size_t r = 0; r < from.uniforms.size(); ++r) {
          EXPECT(seen.tokens[r] == expected.tokens[r], vocab, " tokens at ", inverse, ", ", name_of(version), ": row ", r);
          EXPECT_NEAR(seen.log_probs[r], expected.log_probs[r], 1e-5, vocab, " tokens at ", inverse, ", ", name_of(version));
          EXPECT_NEAR(seen.entropies[r], expected.entropies[r], 1e-5, vocab, " tokens at ", inverse, ", ", name_of(version));
          EXPECT_NEAR(seen.model_log_probs[r], expected.model_log_probs[r], 1e-5, vocab, " tokens at ", inverse, ", ", name_of(version));
          EXPECT_NEAR(seen.model_entropies[r], expected.model_entropies[r], 1e-5, vocab, " tokens at ", inverse, ", ", name_of(version));
        }
      }
    }
}

TEST("sample: every version gives a row alone what it gives it among others, bit for bit") {
  const Rows from = spread(700, 0);
  for (const Version version : kVersions) {
    const Drawn together = drawn_by(version, from, 0.8);
    for (int64_t r = 0; r < from.rows(); ++r) {
      const auto begin = from.logits.begin() + r * from.stride;
      const Rows row{{begin, begin + from.stride}, {from.uniforms[r]}, from.vocab, from.stride};
      const Drawn alone = drawn_by(version, row, 0.8);
      EXPECT(alone.tokens[0] == together.tokens[r] && alone.log_probs[0] == together.log_probs[r] &&
                 alone.entropies[0] == together.entropies[r],
             name_of(version), ", row ", r);
    }
  }
}

TEST("sample: every version marks rows that are not finite, and takes the first of equals") {
  const int64_t vocab = 40;
  Rows from{std::vector<float>(4 * vocab, 1.0f), {0.5, kLargestUniform, 0.5, 0.5}, vocab, vocab};
  from.logits[7] = NAN;
  for (int64_t i = 0; i < vocab; ++i) from.logits[vocab + i] = -kInfinity;
  from.logits[vocab + 33] = 0.0f;
  from.logits[3 * vocab + 5] = kInfinity;
  for (const Version version : kVersions)
    for (const double inverse : {0.0, 1.0}) {
      const Drawn seen = drawn_by(version, from, inverse);
      EXPECT(std::isnan(seen.log_probs[0]) && std::isnan(seen.log_probs[3]), name_of(version));
      EXPECT(seen.tokens[0] >= 0 && seen.tokens[0] < vocab && seen.tokens[3] >= 0 && seen.tokens[3] < vocab, name_of(version));
      EXPECT(seen.tokens[1] == 33 && seen.log_probs[1] == 0.0f && seen.entropies[1] == 0.0f, name_of(version));
      EXPECT(seen.tokens[2] == (inverse == 0.0 ? 0 : 20), name_of(version), ": ", seen.tokens[2]);
    }
}

}  // namespace
}  // namespace magrpo::kernels
