// The LoRA update of a product of few rows (Hu et al. 2021, section 4.1): sums of length rank, for many columns.
#pragma once

#include <cstdint>

#include "core/cuda_stream.h"

namespace magrpo::kernels {

struct LowRankProduct {
  const float* inner;  // (rows, rank), contiguous: A · x
  const float* b;      // (rank, out): B transposed
  float* y;            // (rows, out), rows are `y_stride` floats apart
  int64_t rows, rank, out;
  int64_t b_rank_stride = out;  // in floats, from row to row of b
  int64_t b_out_stride = 1;  // from column to column: 1 on the CPU, whose vectors run along columns
  int64_t y_stride;
  float scale;
};

// Computes y[:, begin:end] += scale · inner · b. A row alone equals the row in a batch, bit for bit.
void low_rank_add(const LowRankProduct& product, int64_t begin, int64_t end);

// The same on a CUDA device, queued on `stream`.
void low_rank_add_cuda(const LowRankProduct& product, int64_t begin, int64_t end, core::CudaStream stream);

// The same as plain loops in double.
void low_rank_add_reference(const LowRankProduct& product, int64_t begin, int64_t end);

}  // namespace magrpo::kernels
