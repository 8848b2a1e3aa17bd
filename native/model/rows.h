// What the kernels of single rows share: which tensors they support, and how rows are dealt out to threads.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>

#include "core/device.h"

namespace magrpo::model {

// Kernels read float32 on the CPU and, in CUDA builds, on CUDA devices; anything else is composed of libtorch's operations.
inline bool kernels_support(const at::Tensor& x) {
  return (x.is_cpu() || (core::kHasCuda && x.is_cuda())) && x.scalar_type() == at::kFloat;
}

// Whether (tokens, n) or (tokens, heads, n) is dense within each token; tokens may lie apart.
inline bool has_dense_rows(const at::Tensor& x) {
  return (x.dim() == 2 && x.stride(1) == 1) || (x.dim() == 3 && x.stride(2) == 1 && x.stride(1) == x.size(2));
}

// The numbers of a float32 tensor; null if it is undefined.
inline const float* floats(const at::Tensor& x) { return x.defined() ? x.const_data_ptr<float>() : nullptr; }
inline float* mutable_floats(const at::Tensor& x) { return x.defined() ? x.mutable_data_ptr<float>() : nullptr; }

// Rows of `width` floats that are worth a thread.
inline int64_t rows_grain(int64_t width) { return std::max<int64_t>(1, 32768 / std::max<int64_t>(1, width)); }

// Columns of a product of few rows that are worth a thread: below some 20 us of work a second one costs more than it saves.
inline int64_t row_product_grain(int64_t rows, int64_t in) { return std::max<int64_t>(1, (1 << 19) / (in * std::max<int64_t>(rows, 4))); }

// Calls work(begin, end) for parts of `rows` rows of `width` floats; small jobs stay on this thread.
template <typename Work>
void for_rows(int64_t rows, int64_t width, Work&& work) {
  at::parallel_for(0, rows, rows_grain(width), work);
}

}  // namespace magrpo::model
