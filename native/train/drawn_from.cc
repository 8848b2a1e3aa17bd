#include "train/drawn_from.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "core/device_cuda.h"
#include "model/packed_batch.h"
#include "model/rows.h"

namespace magrpo::train {

at::Tensor DrawnFrom::marks(const at::Tensor& logits, int64_t begin, int64_t column) const {
  const int64_t rows = logits.size(0), n = logits.size(1);
  const bool penalises = shape_.penalty != 1.0f;
  const auto is_marked = [&](const DrawnToken& token) { return penalises || !token.kept.is_all(); };
  if (std::none_of(tokens_.begin() + begin, tokens_.begin() + begin + rows, is_marked)) return {};
  const at::Tensor marks = at::empty({rows, n}, model::staging(logits.device()).dtype(at::kByte));
  uint8_t* all = marks.mutable_data_ptr<uint8_t>();
  model::for_rows(rows, n, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      const DrawnToken& token = tokens_[begin + r];
      uint8_t* row = all + r * n;
      std::fill(row, row + n, token.kept.is_all() ? uint8_t{0} : kernels::kCut);
      if (!token.kept.is_all())
        token.kept.for_ids(static_cast<int32_t>(column), static_cast<int32_t>(column + n), [&](int32_t id) { row[id - column] = 0; });
      if (!penalises) continue;
      for (int64_t i = 0; i < token.seen; ++i)
        if (const int64_t at = (*token.text)[i] - column; at >= 0 && at < n) row[at] |= kernels::kSeen;
    }
  });
  return marks.to(logits.device(), /*non_blocking=*/true);
}

void DrawnFrom::shape(at::Tensor& logits, const at::Tensor& marks) const {
  const int64_t rows = logits.size(0), n = logits.size(1);
  float* values = logits.mutable_data_ptr<float>();
  const uint8_t* bits = marks.defined() ? marks.const_data_ptr<uint8_t>() : nullptr;
  if (logits.is_cuda()) {
    if constexpr (core::kHasCuda) kernels::shape_logits_cuda(values, rows, n, shape_, bits, core::cuda::current_stream());
    return;
  }
  model::for_rows(rows, n, [&](int64_t first, int64_t last) {
    kernels::shape_logits(values + first * n, (last - first) * n, shape_, bits == nullptr ? nullptr : bits + first * n);
  });
}

void DrawnFrom::note_signs(const at::Tensor& logits, at::Tensor& marks) const {
  if (!marks.defined() || shape_.penalty == 1.0f) return;
  const int64_t rows = logits.size(0), n = logits.size(1);
  const float* values = logits.const_data_ptr<float>();
  uint8_t* bits = marks.mutable_data_ptr<uint8_t>();
  if (logits.is_cuda()) {
    if constexpr (core::kHasCuda) kernels::mark_negative_cuda(values, rows, n, bits, core::cuda::current_stream());
    return;
  }
  model::for_rows(rows, n,
                  [&](int64_t first, int64_t last) { kernels::mark_negative(values + first * n, (last - first) * n, bits + first * n); });
}

void DrawnFrom::unshape(at::Tensor& gradients, const at::Tensor& marks) const {
  const int64_t rows = gradients.size(0), n = gradients.size(1);
  float* values = gradients.mutable_data_ptr<float>();
  const uint8_t* bits = marks.defined() ? marks.const_data_ptr<uint8_t>() : nullptr;
  if (gradients.is_cuda()) {
    if constexpr (core::kHasCuda) kernels::unshape_gradients_cuda(values, rows, n, shape_, bits, core::cuda::current_stream());
    return;
  }
  model::for_rows(rows, n, [&](int64_t first, int64_t last) {
    kernels::unshape_gradient(values + first * n, (last - first) * n, shape_, bits == nullptr ? nullptr : bits + first * n);
  });
}

}  // namespace magrpo::train
