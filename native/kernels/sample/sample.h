// Draws one token from each row of logits, by the inverse of the cumulative distribution in index order: the first token at which
// Σ_{i ≤ token} p_i exceeds a uniform number. Filters and penalties are rollout/sampler.h's.
#pragma once

#include <cstdint>

#include "core/cuda_stream.h"

namespace magrpo::kernels {

struct SampleRows {
  const float* logits;      // (rows, V), rows are `stride` floats apart
  const double* uniforms;   // (rows) in [0, 1); not read if greedy
  int32_t* tokens;          // (rows)
  float* log_probs;         // (rows) natural, of the distribution drawn from, the model's if greedy; NaN where the logits are not finite
  float* entropies;         // (rows) of that distribution, in nats
  float* model_log_probs;   // (rows) at temperature 1; null: not wanted
  float* model_entropies;   // (rows) null with model_log_probs
  int64_t rows, vocab, stride;
  double inverse_temperature;  // 0: greedy, the first of the highest
};

// Rows [begin, end). A row's result depends on that row alone.
void sample_rows(const SampleRows& sample, int64_t begin, int64_t end);

// All rows on a CUDA device, queued on `stream`.
void sample_rows_cuda(const SampleRows& sample, core::CudaStream stream);

// The same as plain loops in double.
void sample_rows_reference(const SampleRows& sample, int64_t begin, int64_t end);

}  // namespace magrpo::kernels
