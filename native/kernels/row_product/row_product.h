// Rows times a weight matrix. Decoding spends most of its time here, with few rows, bound by reading the weights once.
#pragma once

#include <cstdint>

#include "core/cuda_stream.h"

namespace magrpo::kernels {

// Rows up to which row_product is faster than libtorch's general product on every processor.
constexpr int64_t kRowProductRows = 64;

// Whether it is faster for any number of rows on this processor, with float32 weights: on AMD processors with AVX-512, where MKL uses
// AVX2 only.
bool row_product_is_always_faster();

// Weights are row-major (out, in) in float32, or bfloat16 as its 16 bits; sums are float32 in a fixed order that does not depend
// on the number of rows, so a row alone equals the row in a batch, bit for bit.
struct RowProduct {
  const float* x;        // (rows, in), rows are `x_stride` floats apart
  const void* weight;    // (out, in), contiguous
  const float* bias = nullptr;  // (out) or null
  float* y;              // (rows, out), rows are `y_stride` floats apart
  int64_t rows, in, out;
  int64_t x_stride = in, y_stride = out;
  bool is_bfloat16 = false;  // of the weights
  float scale = 1.0f;        // of x · weightᵀ
  bool adds = false;         // to y, instead of overwriting it
};

// Computes y[:, begin:end] = scale · x · weightᵀ + bias.
void row_product(const RowProduct& product, int64_t begin, int64_t end);

// The same on a CUDA device, queued on `stream`, for up to this many rows: beyond them libtorch's product (cuBLAS) reuses weights better.
constexpr int64_t kRowProductRowsCuda = 8;
void row_product_cuda(const RowProduct& product, int64_t begin, int64_t end, core::CudaStream stream);

// The same as plain loops in double.
void row_product_reference(const RowProduct& product, int64_t begin, int64_t end);

}  // namespace magrpo::kernels
