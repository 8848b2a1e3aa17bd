// Draws one token from each row of logits on a CUDA device: what rollout/sampler.h does where no filter and no penalty is set.
#pragma once

#include <cstdint>

#include "kernels/cuda.h"

namespace magrpo::kernels {

struct SampleRows {
  const float* logits;      // (rows, V), rows `stride` floats apart
  const double* uniforms;   // (rows) in [0, 1); not read if greedy
  int32_t* tokens;          // (rows)
  float* log_probs;         // (rows) natural, at temperature 1; NaN where the logits are not finite
  float* entropies;         // (rows) of that distribution, in nats
  int64_t rows, vocab, stride;
  double inverse_temperature;  // 0: greedy, the first of the highest
};

// Queued on `stream`; tokens come from the inverse of the cumulative distribution in index order, as on the CPU.
void sample_rows_cuda(const SampleRows& sample, CudaStream stream);

}  // namespace magrpo::kernels
