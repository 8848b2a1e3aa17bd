#include <cmath>

#include "kernels/cuda.h"
#include "kernels/logit_rows/logit_rows.h"

namespace magrpo::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

__device__ double warp_total(double value) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

// Results that the warps exchange.
struct Parts {
  double sum[kWarps];
  double weighted[kWarps];
  float highest[kWarps];
};

// One block per row.
__global__ void __launch_bounds__(kThreads)
    read_kernel(const float* all, int64_t n, const int64_t* targets, float* log_probs, float* log_sums, float* entropies) {
  const int64_t row = blockIdx.x;
  const float* logits = all + row * n;
  Parts& parts = *reinterpret_cast<Parts*>(shared_memory());
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  float highest = -INFINITY;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) highest = fmaxf(highest, logits[i]);
  highest = warp_max(highest);
  if (lane == 0) parts.highest[warp] = highest;
  __syncthreads();
  for (int w = 0; w < kWarps; ++w) highest = fmaxf(highest, parts.highest[w]);

  double sum = 0.0, weighted = 0.0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) {
    const float shifted = logits[i] - highest, e = expf(shifted);
    sum += static_cast<double>(e);
    // A token of probability 0 adds nothing even if its logit is -inf.
    weighted += e > 0.0f ? static_cast<double>(e * shifted) : 0.0;
  }
  sum = warp_total(sum);
  weighted = warp_total(weighted);
  if (lane == 0) {
    parts.sum[warp] = sum;
    parts.weighted[warp] = weighted;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  sum = weighted = 0.0;
  for (int w = 0; w < kWarps; ++w) {
    sum += parts.sum[w];
    weighted += parts.weighted[w];
  }
  const double log_sum = log(sum);
  log_probs[row] = static_cast<float>(static_cast<double>(logits[targets[row]]) - highest - log_sum);
  log_sums[row] = static_cast<float>(highest + log_sum);
  entropies[row] = static_cast<float>(log_sum - weighted / sum);
}

// One thread per logit.
__global__ void gradient_kernel(float* logits, int64_t rows, int64_t n, const int64_t* targets, const float* log_sums,
                                const float* entropies, const float* d_log_probs, const float* d_entropies) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= rows * n) return;
  const int64_t row = at / n;
  const float g = d_log_probs[row], h = d_entropies == nullptr ? 0.0f : d_entropies[row];
  const float log_p = logits[at] - log_sums[row], p = expf(log_p);
  float value = p > 0.0f ? -p * g : 0.0f;
  if (h != 0.0f && p > 0.0f) value -= p * h * (log_p + entropies[row]);
  logits[at] = at % n == targets[row] ? value + g : value;
}

// One thread per logit.
__global__ void shape_kernel(float* logits, int64_t count, LogitShape shape, const uint8_t* marks) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  const uint8_t mark = marks == nullptr ? 0 : marks[at];
  float logit = logits[at];
  if (mark & kSeen) logit = logit < 0.0f ? logit * shape.penalty : logit / shape.penalty;
  logits[at] = mark & kCut ? -INFINITY : logit * shape.inverse_temperature;
}

__global__ void mark_kernel(const float* logits, int64_t count, uint8_t* marks) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at < count && (marks[at] & kSeen) && logits[at] < 0.0f) marks[at] |= kNegative;
}

__global__ void unshape_kernel(float* gradients, int64_t count, LogitShape shape, const uint8_t* marks) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  const uint8_t mark = marks == nullptr ? 0 : marks[at];
  float factor = shape.inverse_temperature;
  if (mark & kSeen) factor = mark & kNegative ? factor * shape.penalty : factor / shape.penalty;
  gradients[at] *= factor;
}

// A launch with one thread per entry.
template <typename Kernel, typename... Arguments>
void launch_each(Kernel kernel, int64_t count, core::CudaStream stream, Arguments... arguments) {
  if (count == 0) return;
  launch(kernel, dim3(static_cast<unsigned>((count + kThreads - 1) / kThreads)), kThreads, 0, stream, arguments...);
}

}  // namespace

void shape_logits_cuda(float* logits, int64_t rows, int64_t n, const LogitShape& shape, const uint8_t* marks, core::CudaStream stream) {
  launch_each(shape_kernel, rows * n, stream, logits, rows * n, shape, marks);
}

void mark_negative_cuda(const float* logits, int64_t rows, int64_t n, uint8_t* marks, core::CudaStream stream) {
  launch_each(mark_kernel, rows * n, stream, logits, rows * n, marks);
}

void unshape_gradients_cuda(float* gradients, int64_t rows, int64_t n, const LogitShape& shape, const uint8_t* marks,
                            core::CudaStream stream) {
  launch_each(unshape_kernel, rows * n, stream, gradients, rows * n, shape, marks);
}

void read_logits_cuda(const float* logits, int64_t rows, int64_t n, const int64_t* targets, float* log_probs, float* log_sums,
                      float* entropies, core::CudaStream stream) {
  if (rows == 0) return;
  launch(read_kernel, dim3(static_cast<unsigned>(rows)), kThreads, (sizeof(Parts) + sizeof(float) - 1) / sizeof(float), stream, logits, n,
         targets, log_probs, log_sums, entropies);
}

void logit_gradients_cuda(float* logits, int64_t rows, int64_t n, const int64_t* targets, const float* log_sums, const float* entropies,
                          const float* d_log_probs, const float* d_entropies, core::CudaStream stream) {
  launch_each(gradient_kernel, rows * n, stream, logits, rows, n, targets, log_sums, entropies, d_log_probs, d_entropies);
}

}  // namespace magrpo::kernels
