#include "rollout/sampler_cuda.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "core/device_cuda.h"
#include "core/errors.h"
#include "kernels/sample.h"

namespace magrpo::rollout {

bool takes_device_sampler(const Sampling& sampling) {
  return sampling.top_k == 0 && sampling.top_p >= 1.0 && sampling.min_p == 0.0 && sampling.repetition_penalty == 1.0;
}

std::vector<Choice> choose_tokens(const at::Tensor& logits, const Sampling& sampling, const std::vector<double>& uniforms) {
  const int64_t rows = logits.size(0);
  const auto pinned = at::TensorOptions().pinned_memory(true);
  const at::Tensor staged = at::empty({rows}, pinned.dtype(at::kDouble));
  std::copy(uniforms.begin(), uniforms.end(), staged.mutable_data_ptr<double>());
  const at::Tensor drawn = staged.to(logits.device(), /*non_blocking=*/true);
  // Tokens, log-probs and entropies side by side, so that one copy brings them back.
  const at::Tensor results = at::empty({3, rows}, logits.options().dtype(at::kInt));
  int32_t* tokens = results.mutable_data_ptr<int32_t>();
  kernels::SampleRows sample{};
  sample.logits = logits.const_data_ptr<float>();
  sample.uniforms = drawn.const_data_ptr<double>();
  sample.tokens = tokens;
  sample.log_probs = reinterpret_cast<float*>(tokens + rows);
  sample.entropies = reinterpret_cast<float*>(tokens + 2 * rows);
  sample.rows = rows;
  sample.vocab = logits.size(1);
  sample.stride = logits.stride(0);
  sample.inverse_temperature = sampling.temperature == 0.0 ? 0.0 : std::min(1.0 / sampling.temperature, 1e300);
  kernels::sample_rows_cuda(sample, cuda::current_stream());

  const at::Tensor here = results.cpu();
  const int32_t* seen = here.const_data_ptr<int32_t>();
  const auto* floats = reinterpret_cast<const float*>(seen);
  std::vector<Choice> choices;
  for (int64_t r = 0; r < rows; ++r) {
    if (!std::isfinite(floats[rows + r]))
      throw Error("ERR_NON_FINITE", "The model's logits hold NaN or infinite values: its weights diverged, or are damaged.");
    choices.push_back({seen[r], floats[rows + r], floats[2 * rows + r]});
  }
  return choices;
}

}  // namespace magrpo::rollout
