#include "rollout/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/errors.h"
#include "core/token_set.h"
#include "kernels/logit_rows/logit_rows.h"
#include "kernels/sample/sample.h"

namespace magrpo::rollout {
namespace {

using Candidate = std::pair<float, int32_t>;  // (score, token)

// Candidates that top-p sorts first, and the factor by which it extends them.
constexpr size_t kFirstTopP = 64, kTopPGrowth = 4;

// Scores within which top-p is looked for first, and beyond which no exponential is left.
constexpr double kFirstScores = 8.0, kAllScores = 500.0;

constexpr double kMaxInverseTemperature = 1e300;

bool more_probable(const Candidate& a, const Candidate& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; }

// Penalises each seen id once, however often it was seen: `penalised` starts as a copy of the logits.
void penalise(const float* logits, const std::vector<int32_t>& seen, double penalty, std::vector<float>& penalised) {
  for (const int32_t id : seen) penalised[id] = static_cast<float>(logits[id] < 0 ? logits[id] * penalty : logits[id] / penalty);
}

// The candidates whose score is `lowest` or more. Scores are logits minus the highest one, divided by the temperature: none overflows.
void gather(const float* logits, int64_t vocab_size, float highest_logit, double inverse, double lowest, std::vector<Candidate>& found) {
  found.clear();
  // Few pass: a comparison by logits leaves most alone. It is a little low, since it is rounded otherwise than scores are.
  const double bound = highest_logit + lowest / inverse;
  const float at_least = std::nextafter(static_cast<float>(bound - 1e-6 * std::abs(bound)), -std::numeric_limits<float>::infinity());
  for (int64_t i = 0; i < vocab_size; ++i) {
    if (!(logits[i] >= at_least) || logits[i] == -std::numeric_limits<float>::infinity()) continue;
    const auto score = static_cast<float>((static_cast<double>(logits[i]) - highest_logit) * inverse);
    if (score >= lowest) found.emplace_back(score, static_cast<int32_t>(i));
  }
}

// Keeps the `count` most probable and those equal to the last of them, as in Hugging Face's warper.
void keep_top_k(std::vector<Candidate>& kept, size_t count) {
  if (count >= kept.size()) return;
  std::nth_element(kept.begin(), kept.begin() + static_cast<int64_t>(count) - 1, kept.end(), more_probable);
  const float bound = kept[count - 1].first;
  kept.erase(std::remove_if(kept.begin(), kept.end(), [&](const Candidate& c) { return c.first < bound; }), kept.end());
}

// Keeps the smallest number of most probable candidates whose exponentials sum to `mass`, sorted. Returns false, with candidates in any
// order, if all together do not reach it.
bool keep_mass(std::vector<Candidate>& kept, double mass) {
  double held = 0.0;
  size_t keep = 0;
  // Sorting all would be slow: sort the best few, then more, until they hold the mass.
  for (size_t count = kFirstTopP; keep < kept.size(); count *= kTopPGrowth) {
    const size_t take = std::min(count, kept.size());
    std::nth_element(kept.begin() + static_cast<int64_t>(keep), kept.begin() + static_cast<int64_t>(take) - 1, kept.end(), more_probable);
    std::sort(kept.begin() + static_cast<int64_t>(keep), kept.begin() + static_cast<int64_t>(take), more_probable);
    while (keep < take && held < mass) held += std::exp(static_cast<double>(kept[keep++].first));
    if (held < mass) continue;
    kept.resize(std::max<size_t>(keep, 1));
    return true;
  }
  return false;
}

// The candidates that pass top-k, top-p and min-p, most probable first.
void filter(const float* logits, int64_t vocab_size, float highest_logit, const Sampling& sampling, std::vector<Candidate>& kept) {
  const double inverse = sampling.inverse_temperature();
  const double by_min_p = sampling.min_p > 0.0 ? static_cast<float>(std::log(sampling.min_p)) : -std::numeric_limits<double>::infinity();
  if (sampling.top_k > 0) {
    gather(logits, vocab_size, highest_logit, inverse, -std::numeric_limits<double>::infinity(), kept);
    keep_top_k(kept, static_cast<size_t>(sampling.top_k));
    double total = 0.0;
    for (const auto& c : kept) total += std::exp(static_cast<double>(c.first));
    if (sampling.top_p < 1.0) keep_mass(kept, sampling.top_p * total);
  } else if (sampling.top_p < 1.0) {
    const double mass = sampling.top_p * kernels::logit_moments(logits, vocab_size, static_cast<float>(std::min(inverse, 1e30))).sum;
    // What holds the mass is among scores near the highest, most often.
    for (double lowest = -kFirstScores;; lowest *= 4) {
      const bool is_all = lowest < -kAllScores;
      gather(logits, vocab_size, highest_logit, inverse, is_all ? -std::numeric_limits<double>::infinity() : lowest, kept);
      if (keep_mass(kept, mass) || is_all) break;
    }
  } else {
    gather(logits, vocab_size, highest_logit, inverse, by_min_p, kept);
  }
  kept.erase(std::remove_if(kept.begin(), kept.end(), [&](const Candidate& c) { return c.first < by_min_p; }), kept.end());
  std::sort(kept.begin(), kept.end(), more_probable);
}

// Draws from the candidates that pass the filters, in the order of their probability.
void draw_filtered(const float* scores, int64_t vocab_size, const Sampling& sampling, double uniform, SamplerScratch& scratch,
                   Choice& choice) {
  std::vector<Candidate>& kept = scratch.candidates;
  filter(scores, vocab_size, *std::max_element(scores, scores + vocab_size), sampling, kept);
  const double highest = kept.front().first;
  double sum = 0.0, weighted = 0.0;
  for (const auto& c : kept) {
    const double shifted = c.first - highest, p = std::exp(shifted);
    sum += p;
    weighted += p > 0.0 ? p * shifted : 0.0;
  }
  const double target = uniform * sum;
  double cumulative = 0.0;
  Candidate last = kept.front();
  for (const auto& c : kept) {
    const double p = std::exp(c.first - highest);
    if (p > 0.0) last = c;
    cumulative += p;
    if (cumulative > target) break;
  }
  choice.token = last.second;
  choice.log_prob = static_cast<float>(last.first - highest - std::log(sum));
  choice.entropy = static_cast<float>(std::log(sum) - weighted / sum);
  scratch.ids.clear();
  for (const auto& c : kept) scratch.ids.push_back(c.second);
  std::sort(scratch.ids.begin(), scratch.ids.end());
  core::append_token_set(scratch.kept, scratch.ids, vocab_size);
}

}  // namespace

void check_finite(double score) {
  core::check(std::isfinite(score), "ERR_NON_FINITE",
              "The model's logits hold NaN or infinite values: its weights diverged, or are damaged.");
}

bool Sampling::filters() const { return top_k > 0 || top_p < 1.0 || min_p > 0.0; }

bool Sampling::reshapes() const { return temperature != 0.0 && (temperature != 1.0 || filters() || repetition_penalty != 1.0); }

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
  Choice choice{};
  scratch.kept.clear();
  const auto draw = [&](const float* scores, bool wants_model) {
    kernels::sample_rows({.logits = scores,
                          .uniforms = &uniform,
                          .tokens = &choice.token,
                          .log_probs = &choice.log_prob,
                          .entropies = &choice.entropy,
                          .model_log_probs = wants_model ? &choice.model_log_prob : nullptr,
                          .model_entropies = wants_model ? &choice.model_entropy : nullptr,
                          .rows = 1,
                          .vocab = vocab_size,
                          .stride = vocab_size,
                          .inverse_temperature = sampling.inverse_temperature()},
                         0, 1);
  };
  const bool penalises = sampling.repetition_penalty != 1.0, filters = sampling.filters() && sampling.temperature != 0.0;
  if (!filters && !penalises) {
    draw(logits, sampling.reshapes());
    check_finite(choice.log_prob);
    return choice;
  }
  const kernels::LogitMoments raw = kernels::logit_moments(logits, vocab_size);
  // NaN would also break the order that sorting relies on.
  check_finite(raw.sum);
  const float* scores = logits;
  if (penalises) {
    scratch.logits.assign(logits, logits + vocab_size);
    penalise(logits, seen, sampling.repetition_penalty, scratch.logits);
    scores = scratch.logits.data();
  }
  if (filters) draw_filtered(scores, vocab_size, sampling, uniform, scratch, choice);
  else draw(scores, false);
  const double log_sum = std::log(raw.sum);
  choice.model_log_prob = static_cast<float>(static_cast<double>(logits[choice.token]) - raw.highest - log_sum);
  choice.model_entropy = static_cast<float>(log_sum - raw.weighted / raw.sum);
  if (!sampling.reshapes()) {  // greedy
    choice.log_prob = choice.model_log_prob;
    choice.entropy = choice.model_entropy;
  }
  return choice;
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
