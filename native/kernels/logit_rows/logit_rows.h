// Normalisation and entropy of a row of logits in one pass, and the gradient of both.
#pragma once

#include <cstdint>
#include <vector>

#include "core/cuda_stream.h"

namespace magrpo::kernels {

// With l the logits divided by a temperature and m the highest of them. Entropy: log(sum) - weighted / sum.
struct LogitMoments {
  float highest;    // of the logits as they are
  double sum;       // Σ exp(l - m)
  double weighted;  // Σ exp(l - m) (l - m)
};

// Logits per block. Exponentials are summed in float32 within a block, and in double across blocks.
constexpr int64_t kLogitBlock = 512;

// `block_sums`, where not null, receives Σ exp(l - m) of each block of kLogitBlock. NaN or +inf among the logits gives a sum that
// is not finite.
LogitMoments logit_moments(const float* logits, int64_t n, float inverse_temperature = 1.0f, std::vector<float>* block_sums = nullptr);

// Combines the moments of two parts of a row, at temperature 1.
LogitMoments merge(const LogitMoments& a, const LogitMoments& b);

// Gradients of one row with p = softmax(logits), H its entropy: logits become  g (onehot(target) - p) - g_H p (log p + H).
struct LogitGradient {
  float log_sum;    // log Σ exp(logits)
  float entropy;    // H; read only where g_H is not 0
  float d_log_prob; // g
  float d_entropy;  // g_H
  int64_t target;   // -1 if it is not among these logits
};

void logit_gradient(float* logits, int64_t n, const LogitGradient& gradient);

// Both on a CUDA device, queued on `stream`. logits: contiguous (rows, n); all others: (rows). The first writes log-probs of the targets,
// log Σ exp and entropies; the second replaces logits by their gradients. `d_entropies` may be null.
void read_logits_cuda(const float* logits, int64_t rows, int64_t n, const int64_t* targets, float* log_probs, float* log_sums,
                      float* entropies, core::CudaStream stream);
void logit_gradients_cuda(float* logits, int64_t rows, int64_t n, const int64_t* targets, const float* log_sums, const float* entropies,
                          const float* d_log_probs, const float* d_entropies, core::CudaStream stream);

// The same as plain loops in double.
LogitMoments logit_moments_reference(const float* logits, int64_t n, float inverse_temperature);
void logit_gradient_reference(float* logits, int64_t n, const LogitGradient& gradient);

}  // namespace magrpo::kernels
