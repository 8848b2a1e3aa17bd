// The sampler against transformers' distributions and naive sums in double; the exponential it is made of.
#include "rollout/sampler.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <vector>

#include "core/random.h"
#include "core/token_set.h"
#include "kernels/simd/exp.h"
#include "test/harness.h"

namespace magrpo::rollout {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kLargestUniform = 1.0 - 0x1.0p-53;

Sampling settings(double temperature, int64_t top_k = 0, double top_p = 1.0, double min_p = 0.0, double repetition_penalty = 1.0) {
  return {temperature, top_k, top_p, min_p, repetition_penalty, {}, {}};
}

TEST("exp: within 2 units in the last place of the exact value wherever it is used") {
  const auto check = [](float x) {
    const double exact = std::exp(static_cast<double>(x));
    const float nearest = static_cast<float>(exact);
    const double unit = std::nextafter(nearest, kInfinity) - static_cast<double>(nearest);
    EXPECT_NEAR(kernels::fast_exp(x), exact, 2 * unit, "at ", x);
  };
  // Every 997th float32 from the smallest magnitudes to the ends of the range.
  for (uint32_t bits = 0; bits <= std::bit_cast<uint32_t>(88.0f); bits += 997) {
    const float x = std::bit_cast<float>(bits);
    check(x);
    if (x <= 87.3f) check(-x);
  }
  EXPECT(kernels::fast_exp(0.0f) == 1.0f);
  EXPECT(kernels::fast_exp(-0.0f) == 1.0f);
}

TEST("exp: zero below -87.3 and for -infinity; rises to 2 units in the last place") {
  for (const float x : {-87.31f, -100.0f, -1e30f, std::numeric_limits<float>::lowest(), -kInfinity})
    EXPECT(kernels::fast_exp(x) == 0.0f, x);
  float before = 0.0f;
  for (float x = -87.3f; x < 88.0f; x += 1e-3f) {
    const float now = kernels::fast_exp(x);
    EXPECT(now > 0.0f && now >= before, x);
    before = now;
  }
}

struct GoldenCase {
  struct {
    double temperature;
    int64_t top_k;
    double top_p, min_p, repetition_penalty;
  } settings;
  int kept;
  std::vector<double> probabilities;
};

struct GoldenVector {
  const char* name;
  std::vector<float> logits;
  std::vector<int32_t> ids;
  std::vector<GoldenCase> cases;

  static Sampling sampling(const GoldenCase& from) {
    const auto& s = from.settings;
    return settings(s.temperature, s.top_k, s.top_p, s.min_p, s.repetition_penalty);
  }
};

const std::vector<GoldenVector>& golden() {
  static const std::vector<GoldenVector> all{
#include "test/sampling_golden.inc"
  };
  return all;
}

TEST("sampler: distributions are those of transformers") {
  for (const auto& vector : golden())
    for (size_t c = 0; c < vector.cases.size(); ++c) {
      const auto& expected = vector.cases[c];
      const auto actual =
          distribution(vector.logits.data(), static_cast<int64_t>(vector.logits.size()), GoldenVector::sampling(expected), vector.ids);
      EXPECT(std::count_if(actual.begin(), actual.end(), [](double p) { return p > 0.0; }) == expected.kept, vector.name, " case ", c);
      for (size_t i = 0; i < actual.size(); ++i)
        EXPECT_NEAR(actual[i], expected.probabilities[i], 1e-6, vector.name, " case ", c, " token ", i);
    }
}

// How often each token comes up if `draws` uniforms are spread evenly over [0, 1). choose_token inverts a cumulative distribution,
// so each count is within 2 of draws × probability.
std::vector<int> histogram(const std::vector<float>& logits, const Sampling& sampling, const std::vector<int32_t>& seen, int draws) {
  std::vector<int> counts(logits.size(), 0);
  SamplerScratch scratch;
  for (int i = 0; i < draws; ++i)
    ++counts[choose_token(logits.data(), static_cast<int64_t>(logits.size()), sampling, seen, (i + 0.5) / draws, scratch).token];
  return counts;
}

TEST("sampler: tokens are drawn from the distribution it states") {
  constexpr int draws = 4000;
  for (const auto& vector : golden())
    for (size_t c = 0; c < vector.cases.size(); ++c) {
      const auto& expected = vector.cases[c];
      const auto counts = histogram(vector.logits, GoldenVector::sampling(expected), vector.ids, draws);
      for (size_t i = 0; i < counts.size(); ++i) {
        EXPECT_NEAR(counts[i], draws * expected.probabilities[i], 2.0, vector.name, " case ", c, " token ", i);
        EXPECT(expected.probabilities[i] > 0.0 || counts[i] == 0, vector.name, " case ", c, " token ", i);
      }
    }
}

std::vector<float> random_logits(int64_t size, double scale, uint32_t seed) {
  std::vector<float> logits;
  const core::RandomStream stream{seed, 0, 0, 0, 0};
  for (int64_t i = 0; i < size; ++i) logits.push_back(static_cast<float>(scale * (stream.uniform(static_cast<uint32_t>(i)) - 0.5)));
  return logits;
}

// Log-probability of `token` and entropy of softmax(logits), in double.
std::pair<double, double> naive_scores(const std::vector<float>& logits, int32_t token) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0, weighted = 0.0;
  for (const float logit : logits) {
    const double e = std::exp(logit - highest);
    sum += e;
    if (e > 0.0) weighted += e * (logit - highest);
  }
  return {logits[token] - highest - std::log(sum), std::log(sum) - weighted / sum};
}

TEST("sampler: log-probability and entropy are those of the distribution drawn from, and the model's beside them") {
  SamplerScratch scratch;
  const std::vector<int32_t> seen{0, 0};
  for (const int64_t size : {1, 5, 600, 32000})
    for (const double scale : {0.5, 10.0, 60.0}) {
      const auto logits = random_logits(size, scale, static_cast<uint32_t>(size));
      for (const auto& sampling :
           {Sampling{}, settings(0.0), settings(0.0, 0, 1.0, 0.0, 1.4), settings(0.7), settings(1.0, 0, 1.0, 0.0, 1.4),
            settings(1.5, 0, 1.0, 0.0, 0.8), settings(0.6, 30, 0.9, 0.02, 1.4), settings(1.0, 0, 0.8)}) {
        const Choice choice = choose_token(logits.data(), size, sampling, seen, 0.37, scratch);
        const auto [log_prob, entropy] = naive_scores(logits, choice.token);
        const bool reshapes = sampling.reshapes();
        EXPECT_NEAR(reshapes ? choice.model_log_prob : choice.log_prob, log_prob, 1e-5 + 1e-6 * std::abs(log_prob), "V = ", size);
        EXPECT_NEAR(reshapes ? choice.model_entropy : choice.entropy, entropy, 1e-5, "V = ", size, " scale ", scale);
        if (!reshapes) continue;
        double drawn_entropy = 0.0;
        const auto probabilities = distribution(logits.data(), size, sampling, seen);
        for (const double p : probabilities) drawn_entropy -= p > 0.0 ? p * std::log(p) : 0.0;
        const double drawn = std::log(probabilities[choice.token]);
        EXPECT_NEAR(choice.log_prob, drawn, 1e-5 + 1e-6 * std::abs(drawn), "V = ", size, " scale ", scale);
        EXPECT_NEAR(choice.entropy, drawn_entropy, 1e-5, "V = ", size, " scale ", scale);
      }
    }
}

TEST("sampler: what the filters kept is the support of the distribution, the drawn token in it") {
  SamplerScratch scratch;
  const std::vector<int32_t> seen{3, 1};
  for (const int64_t size : {5, 600, 32000})
    for (const auto& sampling : {settings(0.7, 4), settings(1.0, 0, 0.9), settings(1.3, 0, 1.0, 0.1), settings(0.8, 50, 0.95, 0.01, 1.3)}) {
      const auto logits = random_logits(size, 6.0, static_cast<uint32_t>(size));
      const Choice choice = choose_token(logits.data(), size, sampling, seen, 0.6, scratch);
      size_t at = 0;
      const core::TokenSet kept(scratch.kept, at, size);
      const auto probabilities = distribution(logits.data(), size, sampling, seen);
      EXPECT(at == scratch.kept.size() && kept.contains(choice.token), "V = ", size);
      for (int32_t id = 0; id < size; ++id) EXPECT(kept.contains(id) == (probabilities[id] > 0.0), "V = ", size, ": ", id);
    }
}

TEST("sampler: greedy takes the first of the highest; the repetition penalty comes before") {
  SamplerScratch scratch;
  const auto greedy = [&](const std::vector<float>& logits, double penalty, const std::vector<int32_t>& seen) {
    return choose_token(logits.data(), static_cast<int64_t>(logits.size()), settings(0.0, 0, 1.0, 0.0, penalty), seen, 0.99, scratch).token;
  };
  EXPECT(greedy({1, 3, 3, 2, 3}, 1.0, {1}) == 1);
  EXPECT(greedy({-kInfinity, -1e30f, -kInfinity}, 1.0, {}) == 1);
  EXPECT(greedy({1, 3, 2.9f, 2}, 1.5, {1, 1, 1}) == 2, "3 / 1.5 falls below 2.9, once however often it was seen");
  EXPECT(greedy({-1, -2, -1.5f}, 2.0, {0}) == 2, "negative logits are multiplied");
  const auto p = distribution(std::vector<float>{2, -2, 0}.data(), 3, settings(1.0, 0, 1.0, 0.0, 2.0), {0, 1, 1});
  const double total = std::exp(1.0) + std::exp(-4.0) + 1.0;
  EXPECT_NEAR(p[0], std::exp(1.0) / total, 1e-7);
  EXPECT_NEAR(p[1], std::exp(-4.0) / total, 1e-7);
}

TEST("sampler: extreme logits give finite numbers and only tokens that can be") {
  SamplerScratch scratch;
  const std::vector<Sampling> all{Sampling{},
                                  settings(0.0),
                                  settings(0.5),
                                  settings(2.0),
                                  settings(1e-30),
                                  settings(1e30),
                                  settings(1e-40),
                                  settings(5e-324),
                                  settings(1.0, 1000),
                                  settings(1.0, 2),
                                  settings(0.5, 1000),
                                  settings(1.0, 0, 0.999999),
                                  settings(1e-40, 3),
                                  settings(1e-40, 0, 0.9),
                                  settings(1e30, 0, 0.9),
                                  settings(1.0, 0, 1.0, 1e-9),
                                  settings(1e-30, 3, 0.9, 0.1, 1.3)};
  for (const auto& logits :
       {std::vector<float>{0.5f, -kInfinity, 0.25f, -kInfinity, -kInfinity}, std::vector<float>{-1e30f, 1e30f, -1e30f, 1e30f, -kInfinity},
        std::vector<float>{-1e30f, -1e30f, -1e30f, -1e30f, -1e30f}, std::vector<float>(700, 3.0f),
        std::vector<float>{0.0f, -103.0f, -1e30f, -88.0f, -87.0f}})
    for (size_t s = 0; s < all.size(); ++s)
      for (const double uniform : {0.0, 0.4, 0.9999999, kLargestUniform}) {
        const int64_t size = static_cast<int64_t>(logits.size());
        const Choice choice = choose_token(logits.data(), size, all[s], {0, 1, 4}, uniform, scratch);
        const auto p = distribution(logits.data(), size, all[s], {0, 1, 4});
        const auto [log_prob, entropy] = naive_scores(logits, choice.token);
        EXPECT(choice.token >= 0 && choice.token < size && logits[choice.token] > -kInfinity, "setting ", s, " at ", uniform);
        EXPECT(p[choice.token] > 0.0, "setting ", s, " at ", uniform, " token ", choice.token);
        const bool reshapes = all[s].reshapes();
        EXPECT_NEAR(reshapes ? choice.model_log_prob : choice.log_prob, log_prob, 1e-5 + 1e-6 * std::abs(log_prob), "setting ", s);
        EXPECT_NEAR(reshapes ? choice.model_entropy : choice.entropy, entropy, 1e-5, "setting ", s);
        if (reshapes) EXPECT_NEAR(choice.log_prob, std::log(p[choice.token]), 1e-5, "setting ", s, " at ", uniform);
        double total = 0.0;
        for (const double x : p) total += x;
        EXPECT_NEAR(total, 1.0, 1e-9, "setting ", s);
      }
}

TEST("sampler: logits that are not finite are refused") {
  SamplerScratch scratch;
  for (const auto& logits : {std::vector<float>{1, NAN, 2}, std::vector<float>{1, 2, kInfinity}, std::vector<float>(3, -kInfinity)})
    for (const double temperature : {0.0, 1.0})
      EXPECT_THROWS("ERR_NON_FINITE", choose_token(logits.data(), 3, settings(temperature), {}, 0.5, scratch));
}

TEST("sampler: settings out of range are refused") {
  Sampling{}.check();
  for (const auto& bad : {settings(-0.1), settings(NAN), settings(INFINITY), settings(1.0, -1), settings(1.0, 0, 0.0),
                          settings(1.0, 0, 1.1), settings(1.0, 0, NAN), settings(1.0, 0, 1.0, -0.1), settings(1.0, 0, 1.0, 1.1),
                          settings(1.0, 0, 1.0, 0.0, 0.0), settings(1.0, 0, 1.0, 0.0, NAN)})
    EXPECT_THROWS("ERR_ARGUMENT", bad.check());
}

}  // namespace
}  // namespace magrpo::rollout
