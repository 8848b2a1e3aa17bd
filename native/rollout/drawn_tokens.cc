#include "rollout/drawn_tokens.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "core/device.h"
#include "core/device_cuda.h"
#include "core/parallel.h"
#include "kernels/sample/sample.h"
#include "model/packed_batch.h"

namespace magrpo::rollout {

bool supports_device_sampling(const Sampling& sampling) { return !sampling.filters() && sampling.repetition_penalty == 1.0; }

DrawnTokens::DrawnTokens(const at::Tensor& logits, const Sampling& sampling, const std::vector<double>& uniforms)
    : results_(at::empty({sampling.reshapes() ? 5 : 3, logits.size(0)}, logits.options().dtype(at::kInt))) {
  const int64_t rows = logits.size(0);
  const at::Tensor staged = at::empty({rows}, model::staging(logits.device()).dtype(at::kDouble));
  std::copy(uniforms.begin(), uniforms.end(), staged.mutable_data_ptr<double>());
  const at::Tensor drawn = staged.to(logits.device(), /*non_blocking=*/true);
  int32_t* tokens = results_.mutable_data_ptr<int32_t>();
  const auto scores = [&](int64_t row) { return row < results_.size(0) ? reinterpret_cast<float*>(tokens + row * rows) : nullptr; };
  const kernels::SampleRows sample{.logits = logits.const_data_ptr<float>(),
                                   .uniforms = drawn.const_data_ptr<double>(),
                                   .tokens = tokens,
                                   .log_probs = scores(1),
                                   .entropies = scores(2),
                                   .model_log_probs = scores(3),
                                   .model_entropies = scores(4),
                                   .rows = rows,
                                   .vocab = logits.size(1),
                                   .stride = logits.stride(0),
                                   .inverse_temperature = sampling.inverse_temperature()};
  if (!logits.is_cuda()) {
    host_ = results_;
    core::parallel_for(rows, 1, [&](int64_t begin, int64_t end) { kernels::sample_rows(sample, begin, end); });
  } else if constexpr (core::kHasCuda) {
    kernels::sample_rows_cuda(sample, core::cuda::current_stream());
    if (!core::cuda::pins_memory()) return;
    host_ = at::empty(results_.sizes(), model::staging(logits.device()).dtype(at::kInt));
    host_.copy_(results_, /*non_blocking=*/true);
    copied_ = core::cuda::record_event(logits.device());
  }
}

void DrawnTokens::read(std::vector<Choice>& choices) const {
  if constexpr (core::kHasCuda)
    if (copied_) core::cuda::synchronize(*copied_);
  const at::Tensor host = host_.defined() ? host_ : results_.cpu();
  const int64_t rows = host.size(1);
  const int32_t* tokens = host.const_data_ptr<int32_t>();
  const auto* floats = reinterpret_cast<const float*>(tokens);
  const bool has_model = host.size(0) == 5;
  for (int64_t r = 0; r < rows; ++r)
    choices.push_back({.token = tokens[r],
                       .log_prob = floats[rows + r],
                       .entropy = floats[2 * rows + r],
                       .model_log_prob = has_model ? floats[3 * rows + r] : 0.0f,
                       .model_entropy = has_model ? floats[4 * rows + r] : 0.0f});
}

}  // namespace magrpo::rollout
