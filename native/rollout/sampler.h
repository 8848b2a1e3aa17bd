// Chooses one token from a row of logits. Pure: a function of the logits, the settings and one uniform number.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace magrpo::rollout {

// Order of application: repetition penalty, temperature, top-k, top-p, min-p (as in Hugging Face's generate).
struct Sampling {
  double temperature = 1.0;  // 0: greedy
  int64_t top_k = 0;         // 0: all
  double top_p = 1.0;
  double min_p = 0.0;
  double repetition_penalty = 1.0;
  std::vector<int32_t> stop_ids;
  std::vector<std::string> stop_strings;

  // Throws ERR_ARGUMENT for settings out of range.
  void check() const;
  // Whether top-k, top-p or min-p can exclude tokens.
  bool filters() const;
  // Whether tokens are drawn from another distribution than softmax(logits). A greedy choice is no draw.
  bool reshapes() const;
  // 0 if greedy. Finite for any temperature, so that 0 times it is 0.
  double inverse_temperature() const;
};

struct Choice {
  int32_t token;
  float log_prob;  // natural, of the distribution that the token was drawn from; the model's if greedy
  float entropy;   // of that distribution, in nats
  // The same at temperature 1 over the full vocabulary; set where Sampling::reshapes().
  float model_log_prob;
  float model_entropy;
};

// Reusable memory of one thread, and what the latest choice says besides its numbers.
struct SamplerScratch {
  std::vector<float> logits;
  std::vector<std::pair<float, int32_t>> candidates;
  std::vector<int32_t> ids;
  std::vector<uint8_t> kept;  // what passed the filters, by core::append_token_set; empty without filters
};

// Throws ERR_NON_FINITE where a row's logits, and so its sums and log-probs, are not finite.
void check_finite(double score);

// Throws ERR_NON_FINITE as check_finite does. `logits`: (V). `seen`: the ids of the row's whole path so far. `uniform` in [0, 1).
Choice choose_token(const float* logits, int64_t vocab_size, const Sampling& sampling, const std::vector<int32_t>& seen, double uniform,
                    SamplerScratch& scratch);

// The distribution that choose_token draws from: (V) probabilities. For tests.
std::vector<double> distribution(const float* logits, int64_t vocab_size, const Sampling& sampling, const std::vector<int32_t>& seen);

}  // namespace magrpo::rollout
