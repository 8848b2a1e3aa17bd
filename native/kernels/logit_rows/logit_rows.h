// Normalisation and entropy of a row of logits in one pass, and the gradient of both; the same of the distribution that a sampler drew from.
#pragma once

#include <cstdint>
#include <vector>

#include "core/cuda_stream.h"

namespace magrpo::kernels {

// With l the logits divided by a temperature and m the highest of them. Entropy: log(sum) - weighted / sum.
struct LogitMoments {
  float highest;  // of the logits as they are
  double sum;  // Σ exp(l - m)
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
  float log_sum;  // log Σ exp(logits)
  float entropy;  // H; read only where g_H is not 0
  float d_log_prob;  // g
  float d_entropy;  // g_H
  int64_t target;  // -1 if it is not among these logits
};

void logit_gradient(float* logits, int64_t n, const LogitGradient& gradient);

// What a sampler makes of a logit l before it draws: l·penalty where l < 0 and l/penalty elsewhere if the token was seen before, divided by
// the temperature; -inf where a filter cut the token.
struct LogitShape {
  float inverse_temperature = 1.0f;
  float penalty = 1.0f;
};

// Bits of a token's mark. kNegative: of a seen token, its logit is below 0.
constexpr uint8_t kCut = 1, kSeen = 2, kNegative = 4;

// Shapes n logits in place. `marks` may be null: nothing is cut or seen.
void shape_logits(float* logits, int64_t n, const LogitShape& shape, const uint8_t* marks);

// Sets kNegative in the marks of seen tokens; a shaped logit has the sign it had before.
void mark_negative(const float* logits, int64_t n, uint8_t* marks);

// The chain rule: turns gradients by shaped logits into those by logits.
void unshape_gradient(float* gradients, int64_t n, const LogitShape& shape, const uint8_t* marks);

// Both on a CUDA device, queued on `stream`. logits: contiguous (rows, n); all others: (rows). The first writes log-probs of the targets,
// log Σ exp and entropies; the second replaces logits by their gradients. `d_entropies` may be null.
void read_logits_cuda(const float* logits, int64_t rows, int64_t n, const int64_t* targets, float* log_probs, float* log_sums,
                      float* entropies, core::CudaStream stream);
void logit_gradients_cuda(float* logits, int64_t rows, int64_t n, const int64_t* targets, const float* log_sums, const float* entropies,
                          const float* d_log_probs, const float* d_entropies, core::CudaStream stream);

// shape_logits, mark_negative and unshape_gradient for contiguous (rows, n), queued on `stream`.
void shape_logits_cuda(float* logits, int64_t rows, int64_t n, const LogitShape& shape, const uint8_t* marks, core::CudaStream stream);
void mark_negative_cuda(const float* logits, int64_t rows, int64_t n, uint8_t* marks, core::CudaStream stream);
void unshape_gradients_cuda(float* gradients, int64_t rows, int64_t n, const LogitShape& shape, const uint8_t* marks,
                            core::CudaStream stream);

// The same as plain loops in double.
LogitMoments logit_moments_reference(const float* logits, int64_t n, float inverse_temperature);
void logit_gradient_reference(float* logits, int64_t n, const LogitGradient& gradient);
void shape_logits_reference(float* logits, int64_t n, const LogitShape& shape, const uint8_t* marks);
void unshape_gradient_reference(float* gradients, int64_t n, const LogitShape& shape, const uint8_t* marks);

}  // namespace magrpo::kernels
