#include "rollout/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_set>

#include "core/errors.h"
#include "kernels/exp.h"
#include "kernels/logit_rows.h"

namespace magrpo::rollout {
namespace {

using Candidate = std::pair<float, int32_t>;  // (score, token)

bool more_probable(const Candidate& a, const Candidate& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; }

void penalise(std::vector<float>& logits, const std::vector<int32_t>& seen, double penalty) {
  const std::unordered_set<int32_t> distinct(seen.begin(), seen.end());
  for (const int32_t id : distinct)
    logits[id] = static_cast<float>(logits[id] < 0 ? logits[id] * penalty : logits[id] / penalty);
}

// Finite for the smallest of temperatures, so that 0 times it is 0.
double inverse_temperature(const Sampling& sampling) { return std::min(1.0 / sampling.temperature, 1e300); }

// The candidates that top-k, top-p and min-p leave, most probable first. Their scores are logits less the highest one, divided
// by the temperature: none overflows.
void filter(const float* logits, int64_t vocab_size, float highest_logit, const Sampling& sampling, std::vector<Candidate>& kept) {
  kept.resize(static_cast<size_t>(vocab_size));
  const double inverse = inverse_temperature(sampling);
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
  const float highest = std::max_element(kept.begin(), kept.end(), [](const Candidate& a, const Candidate& b) {
                          return a.first < b.first;
                        })->first;
  if (sampling.top_p < 1.0) {
    double total = 0.0;
    for (const auto& c : kept) total += std::exp(static_cast<double>(c.first) - highest);
    // Never sort the vocabulary: take the best 64, then 4 times as many, until they hold the mass.
    for (size_t count = 64;; count *= 4) {
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

bool filters(const Sampling& sampling) { return sampling.top_k > 0 || sampling.top_p < 1.0 || sampling.min_p > 0.0; }

// Inverse of the cumulative distribution, in index order: Σ_{i ≤ token} p_i first exceeds uniform. Blocks before the token are
// skipped by their sums.
int32_t draw(const float* logits, int64_t n, float inverse, const kernels::LogitMoments& moments, const std::vector<float>& block_sums,
             double uniform) {
  double left = uniform * moments.sum;
  size_t block = 0;
  while (block + 1 < block_sums.size() && block_sums[block] <= left) left -= block_sums[block++];
  const int64_t begin = static_cast<int64_t>(block) * kernels::kLogitBlock, end = std::min(n, begin + kernels::kLogitBlock);
  int64_t last = begin;
  for (int64_t i = begin; i < end; ++i) {
    const double p = kernels::fast_exp((logits[i] - moments.highest) * inverse);
    if (p > 0.0) last = i;
    left -= p;
    if (left < 0.0) return static_cast<int32_t>(i);
  }
  return static_cast<int32_t>(last);  // rounding left the last sliver uncovered
}

}  // namespace

void Sampling::check() const {
  check_argument(temperature >= 0.0 && std::isfinite(temperature), "Expected temperature of 0 or more but received ", temperature, ".");
  check_argument(top_k >= 0, "Expected topK of 0 (all) or more but received ", top_k, ".");
  check_argument(top_p > 0.0 && top_p <= 1.0, "Expected topP above 0 and up to 1 but received ", top_p, ".");
  check_argument(min_p >= 0.0 && min_p <= 1.0, "Expected minP from 0 to 1 but received ", min_p, ".");
  check_argument(repetition_penalty > 0.0 && std::isfinite(repetition_penalty), "Expected a positive repetitionPenalty but received ",
                 repetition_penalty, ".");
}

Choice choose_token(const float* logits, int64_t vocab_size, const Sampling& sampling, const std::vector<int32_t>& seen,
                    double uniform, SamplerScratch& scratch) {
  std::vector<float>& block_sums = scratch.block_sums;
  const kernels::LogitMoments raw = kernels::logit_moments(logits, vocab_size, 1.0f, &block_sums);
  // NaN would also break the order that sorting relies on.
  if (!std::isfinite(raw.sum))
    throw Error("ERR_NON_FINITE", "The model's logits hold NaN or infinite values: its weights diverged, or are damaged.");
  const double log_sum = std::log(raw.sum);
  const auto choice = [&](int32_t token) {
    return Choice{token, static_cast<float>(static_cast<double>(logits[token]) - raw.highest - log_sum),
                  static_cast<float>(log_sum - raw.weighted / raw.sum)};
  };
  const float* scores = logits;
  kernels::LogitMoments now = raw;
  if (sampling.repetition_penalty != 1.0) {
    scratch.logits.assign(logits, logits + vocab_size);
    penalise(scratch.logits, seen, sampling.repetition_penalty);
    scores = scratch.logits.data();
    now = kernels::logit_moments(scores, vocab_size, 1.0f, &block_sums);
  }
  if (sampling.temperature == 0.0) return choice(static_cast<int32_t>(std::max_element(scores, scores + vocab_size) - scores));
  if (filters(sampling)) {
    filter(scores, vocab_size, now.highest, sampling, scratch.candidates);
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
  // Beyond the largest of these a difference in logits gives a probability of 0 or is 0 itself.
  const float inverse = static_cast<float>(std::min(inverse_temperature(sampling), 1e30));
  if (inverse != 1.0f) now = kernels::logit_moments(scores, vocab_size, inverse, &block_sums);
  return choice(draw(scores, vocab_size, inverse, now, block_sums, uniform));
}

std::vector<double> distribution(const float* logits, int64_t vocab_size, const Sampling& sampling,
                                 const std::vector<int32_t>& seen) {
  std::vector<float> scores(logits, logits + vocab_size);
  if (sampling.repetition_penalty != 1.0) penalise(scores, seen, sampling.repetition_penalty);
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
