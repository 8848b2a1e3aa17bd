// Tensors as the raw pointers that kernels take.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>

#include <cmath>

#include "test/tiny_decoder.h"

namespace magrpo::test {

// (shape) NaN: every element has to be written.
inline at::Tensor unwritten(at::IntArrayRef shape) { return at::full(shape, NAN, at::kFloat); }
inline const float* in(const at::Tensor& x) { return x.const_data_ptr<float>(); }
inline float* out(const at::Tensor& x) { return x.mutable_data_ptr<float>(); }

// Largest difference, relative to numbers above 1.
inline double relative_difference(const at::Tensor& seen, const at::Tensor& expected) {
  return largest_difference(seen / (1 + expected.abs()), expected / (1 + expected.abs()));
}

}  // namespace magrpo::test
