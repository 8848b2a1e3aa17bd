#include <cmath>

#include "kernels/cuda.h"
#include "kernels/sample/sample.h"

// One block per row. Each warp has a contiguous part of the vocabulary, in index order, so that a draw scans the parts' sums and then
// one part.
namespace magrpo::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kNone = 0x7fffffff;

__device__ double warp_sum(double value) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

__device__ int warp_min(int value) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    const int other = __shfl_xor_sync(kAllLanes, value, distance);
    value = other < value ? other : value;
  }
  return value;
}

__device__ double scaled_exp(float shifted, double inverse_temperature) {
  return inverse_temperature == 1.0 ? static_cast<double>(expf(shifted)) : exp(inverse_temperature * static_cast<double>(shifted));
}

// Results that the warps exchange.
struct Parts {
  double sum[kWarps];       // Σ exp(l - highest)
  double weighted[kWarps];  // Σ exp(l - highest) (l - highest)
  double mass[kWarps];      // Σ e, e = exp((l - highest) / temperature)
  double mass_weighted[kWarps];  // Σ e (l - highest) / temperature
  float highest[kWarps];
  int argmax[kWarps];
};

// The token in [begin, end) at which the cumulative mass first exceeds `target`; the last of any mass if rounding left it uncovered.
__device__ int draw(const float* logits, int begin, int end, float highest, double inverse_temperature, double target) {
  const int lane = threadIdx.x % kWarp;
  double before = 0.0;
  int last = begin;
  for (int base = begin; base < end; base += kWarp) {
    const int i = base + lane;
    const double p = i < end ? scaled_exp(logits[i] - highest, inverse_temperature) : 0.0;
    double cumulative = p;
    for (int distance = 1; distance < kWarp; distance *= 2) {
      const double lower = __shfl_up_sync(kAllLanes, cumulative, distance);
      if (lane >= distance) cumulative += lower;
    }
    const int found = warp_min(i < end && before + cumulative > target ? i : kNone);
    if (found != kNone) return found;
    const int latest = -warp_min(p > 0.0 ? -i : 0);
    if (latest > last) last = latest;
    before += __shfl_sync(kAllLanes, cumulative, kWarp - 1);
  }
  return last;
}

__global__ void __launch_bounds__(kThreads) sample_kernel(SampleRows sample) {
  const int64_t row = blockIdx.x;
  const float* logits = sample.logits + row * sample.stride;
  Parts& parts = *reinterpret_cast<Parts*>(shared_memory());
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, vocab = static_cast<int>(sample.vocab);
  const int part = (vocab + kWarps - 1) / kWarps, begin = warp * part;
  const int end = begin + part < vocab ? begin + part : vocab;

  float highest = -INFINITY;
  for (int i = begin + lane; i < end; i += kWarp) highest = fmaxf(highest, logits[i]);
  highest = warp_max(highest);
  int first = kNone;
  for (int i = begin + lane; i < end && first == kNone; i += kWarp)
    if (logits[i] == highest) first = i;
  first = warp_min(first);
  if (lane == 0) {
    parts.highest[warp] = highest;
    parts.argmax[warp] = first;
  }
  __syncthreads();
  int argmax = parts.argmax[0];
  highest = parts.highest[0];
  for (int w = 1; w < kWarps; ++w)
    if (parts.highest[w] > highest) {
      highest = parts.highest[w];
      argmax = parts.argmax[w];
    }

  double sum = 0.0, weighted = 0.0, mass = 0.0, mass_weighted = 0.0;
  for (int i = begin + lane; i < end; i += kWarp) {
    const float shifted = logits[i] - highest;
    const double e = static_cast<double>(expf(shifted));
    sum += e;
    weighted += e > 0.0 ? e * shifted : 0.0;
    if (sample.inverse_temperature == 0.0) continue;
    const double m = scaled_exp(shifted, sample.inverse_temperature);
    mass += m;
    mass_weighted += m > 0.0 ? m * sample.inverse_temperature * shifted : 0.0;
  }
  sum = warp_sum(sum);
  weighted = warp_sum(weighted);
  mass = warp_sum(mass);
  mass_weighted = warp_sum(mass_weighted);
  if (lane == 0) {
    parts.sum[warp] = sum;
    parts.weighted[warp] = weighted;
    parts.mass[warp] = mass;
    parts.mass_weighted[warp] = mass_weighted;
  }
  __syncthreads();
  sum = weighted = mass = mass_weighted = 0.0;
  int chosen = 0;  // the last part of any mass
  for (int w = 0; w < kWarps; ++w) {
    sum += parts.sum[w];
    weighted += parts.weighted[w];
    mass += parts.mass[w];
    mass_weighted += parts.mass_weighted[w];
    if (parts.mass[w] > 0.0) chosen = w;
  }
  double before = 0.0;
  if (sample.inverse_temperature != 0.0) {
    const double target = sample.uniforms[row] * mass;
    double upto = 0.0;
    for (int w = 0; w <= chosen; ++w) {
      before = upto;
      upto += parts.mass[w];
      if (upto > target) chosen = w;
    }
    before = target - before;
  }
  if (warp != chosen) return;
  // NaN compares false: a row of them has no argmax, and its log-prob tells.
  int token = argmax == kNone ? 0 : argmax;
  if (sample.inverse_temperature != 0.0) token = draw(logits, begin, end, highest, sample.inverse_temperature, before);
  if (lane != 0) return;
  sample.tokens[row] = token;
  const double shifted = static_cast<double>(logits[token]) - highest;
  const bool is_plain = sample.inverse_temperature == 0.0 || sample.inverse_temperature == 1.0;
  const double model_log_prob = shifted - log(sum), model_entropy = log(sum) - weighted / sum;
  sample.log_probs[row] = static_cast<float>(is_plain ? model_log_prob : shifted * sample.inverse_temperature - log(mass));
  sample.entropies[row] = static_cast<float>(is_plain ? model_entropy : log(mass) - mass_weighted / mass);
  if (sample.model_log_probs == nullptr) return;
  sample.model_log_probs[row] = static_cast<float>(model_log_prob);
  sample.model_entropies[row] = static_cast<float>(model_entropy);
}

}  // namespace

void sample_rows_cuda(const SampleRows& sample, core::CudaStream stream) {
  if (sample.rows == 0) return;
  launch(sample_kernel, dim3(static_cast<unsigned>(sample.rows)), kThreads, (sizeof(Parts) + sizeof(float) - 1) / sizeof(float), stream,
         sample);
}

}  // namespace magrpo::kernels
