#include "rollout/sampler.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"
#include "kernels/logit_rows/logit_rows.h"
#include "kernels/sample/sample.h"

namespace magrpo::rollout {
namespace {

using Candidate = std::pair<float, int32_t>;  // (score, token)

// Candidates that top-p sorts first, and the factor by which it extends them.
constexpr size_t kFirstTopP = 64, kTopPGrowth = 4;

constexpr double kMaxInverseTemperature = 1e300;

bool more_probable(const Candidate& a, const Candidate& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; }

// Penalises each seen id once, however often it was seen: `penalised` starts as a copy of the logits.
void penalise(const float* logits, const std::vector<int32_t>& seen, double penalty, std::vector<float>& penalised) {
  for (const int32_t id : seen) penalised[id] = static_cast<float>(logits[id] < 0 ? logits[id] * penalty : logits[id] / penalty);
}

// The candidates that pass top-k, top-p and min-p, most probable first. Scores are logits minus the highest one, divided by the
// temperature: none overflows.
void filter(const float* logits, int64_t vocab_size, float highest_logit, const Sampling& sampling, std::vector<Candidate>& kept) {
  kept.resize(static_cast<size_t>(vocab_size));
  const double inverse = sampling.inverse_temperature();
  for (int64_t i = 0; i < vocab_size; ++i)
    kept[i] = {static_cast<float>((static_cast<double>(logits[i]) - highest_logit) * inverse), static_cast<int32_t>(i)};

  const auto keep_best = [&](size_t count) {
    if (count < kept.size()) {
      std::nth_element(kept.begin(), kept.begin() + static_cast<int64_t>(count), kept.end(), more_probable);
      kept.resize(count);
    }
  };
  if (sampling.top_k > 0) {
    // Ties with the k-th stay, as in Hugging Face's warper.
    if (static_cast<size_t>(sampling.top_k) < kept.size()) {
      std::nth_element(kept.begin(), kept.begin() + sampling.top_k - 1, kept.end(), more_probable);
      const float bound = kept[sampling.top_k - 1].first;
      kept.erase(std::remove_if(kept.begin(), kept.end(), [&](const Candidate& c) { return c.first < bound; }), kept.end());
    }
  }
  const float highest =
      std::max_element(kept.begin(), kept.end(), [](const Candidate& a, const Candidate& b) { return a.first < b.first; })->first;
  if (sampling.top_p < 1.0) {
    double total = 0.0;
    for (const auto& c : kept) total += std::exp(static_cast<double>(c.first) - highest);
    // Sorting the vocabulary would be slow: sort the best few, then more, until they hold the mass.
    for (size_t count = kFirstTopP;; count *= kTopPGrowth) {
      const size_t take = std::min(count, kept.size());
      std::nth_element(kept.begin(), kept.begin() + static_cast<int64_t>(take) - 1, kept.end(), more_probable);
      std::sort(kept.begin(), kept.begin() + static_cast<int64_t>(take), more_probable);
      double mass = 0.0;
      size_t keep = 0;
      while (keep < take && mass < sampling.top_p * total) mass += std::exp(static_cast<double>(kept[keep++].first) - highest);
      if (keep < take || take == kept.size()) {
        keep_best(std::max<size_t>(keep, 1));
        break;
      }
    }
  }
  if (sampling.min_p > 0.0) {
    const float bound = highest + static_cast<float>(std::log(sampling.min_p));
    kept.erase(std::remove_if(kept.begin(), kept.end(), [&](const Candidate& c) { return c.first < bound; }), kept.end());
  }
  std::sort(kept.begin(), kept.end(), more_probable);
}

}  // namespace

void check_finite(double score) {
  core::check(std::isfinite(score), "ERR_NON_FINITE",
              "The model's logits hold NaN or infinite values: its weights diverged, or are damaged.");
}

bool Sampling::filters() const { return top_k > 0 || top_p < 1.0 || min_p > 0.0; }

double Sampling::inverse_temperature() const { return temperature == 0.0 ? 0.0 : std::min(1.0 / temperature, kMaxInverseTemperature); }

void Sampling::check() const {
  core::check_argument(temperature >= 0.0 && std::isfinite(temperature), "Expected temperature of 0 or more but received ", temperature,
                       ".");
  core::check_argument(top_k >= 0, "Expected topK of 0 (all) or more but received ", top_k, ".");
  core::check_argument(top_p > 0.0 && top_p <= 1.0, "Expected topP above 0 and up to 1 but received ", top_p, ".");
  core::check_argument(min_p >= 0.0 && min_p <= 1.0, "Expected minP from 0 to 1 but received ", min_p, ".");
  core::check_argument(repetition_penalty > 0.0 && std::isfinite(repetition_penalty), "Expected a positive repetitionPenalty but received ",
                       repetition_penalty, ".");
}

Choice choose_token(const float* logits, int64_t vocab_size, const Sampling& sampling, const std::vector<int32_t>& seen, double uniform,
                    SamplerScratch& scratch) {
  const auto drawn = [&](const float* scores) {
    Choice choice{};
    kernels::sample_rows(
        {scores, &uniform, &choice.token, &choice.log_prob, &choice.entropy, 1, vocab_size, vocab_size, sampling.inverse_temperature()}, 0,
        1);
    return choice;
  };
  if (!sampling.filters() && sampling.repetition_penalty == 1.0) {
    const Choice choice = drawn(logits);
    check_finite(choice.log_prob);
    return choice;
  }
  const kernels::LogitMoments raw = kernels::logit_moments(logits, vocab_size);
  // NaN would also break the order that sorting relies on.
  check_finite(raw.sum);
  const double log_sum = std::log(raw.sum);
  const auto choice = [&](int32_t token) {
    return Choice{token, static_cast<float>(static_cast<double>(logits[token]) - raw.highest - log_sum),
                  static_cast<float>(log_sum - raw.weighted / raw.sum)};
  };
  const float* scores = logits;
  if (sampling.repetition_penalty != 1.0) {
    scratch.logits.assign(logits, logits + vocab_size);
    penalise(logits, seen, sampling.repetition_penalty, scratch.logits);
    scores = scratch.logits.data();
  }
  if (!sampling.filters() || sampling.temperature == 0.0) return choice(drawn(scores).token);
  filter(scores, vocab_size, *std::max_element(scores, scores + vocab_size), sampling, scratch.candidates);
  double sum = 0.0;
  const double highest = scratch.candidates.front().first;
  for (const auto& c : scratch.candidates) sum += std::exp(c.first - highest);
  const double target = uniform * sum;
  double cumulative = 0.0;
  int32_t last = scratch.candidates.front().second;
  for (const auto& c : scratch.candidates) {
    const double p = std::exp(c.first - highest);
    if (p > 0.0) last = c.second;
    cumulative += p;
    if (cumulative > target) break;
  }
  return choice(last);
}

std::vector<double> distribution(const float* logits, int64_t vocab_size, const Sampling& sampling, const std::vector<int32_t>& seen) {
  std::vector<float> scores(logits, logits + vocab_size);
  if (sampling.repetition_penalty != 1.0) penalise(logits, seen, sampling.repetition_penalty, scores);
  std::vector<double> result(static_cast<size_t>(vocab_size), 0.0);
  if (sampling.temperature == 0.0) {
    result[std::max_element(scores.begin(), scores.end()) - scores.begin()] = 1.0;
    return result;
  }
  std::vector<Candidate> kept;
  filter(scores.data(), vocab_size, *std::max_element(scores.begin(), scores.end()), sampling, kept);
  double sum = 0.0;
  for (const auto& c : kept) sum += std::exp(static_cast<double>(c.first) - kept.front().first);
  for (const auto& c : kept) result[c.second] = std::exp(static_cast<double>(c.first) - kept.front().first) / sum;
  return result;
}

}  // namespace magrpo::rollout
