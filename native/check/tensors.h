// Tensors for comparisons: made from seeds, with outputs that show what was not written, and differences of two of them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace magrpo::check {

// (shape) float32 normal numbers on the CPU, a function of the seed.
at::Tensor random(at::IntArrayRef shape, uint64_t seed);

// (shape) float32 NaN: every element has to be written.
at::Tensor unwritten(at::IntArrayRef shape, const at::Device& device = at::kCPU);

// Tensors as the raw pointers that kernels take.
inline const float* in(const at::Tensor& x) { return x.const_data_ptr<float>(); }
inline float* out(const at::Tensor& x) { return x.mutable_data_ptr<float>(); }

// Largest |a - b|, in double.
double largest_difference(const at::Tensor& a, const at::Tensor& b);

// Largest difference, relative to numbers above 1.
double relative_difference(const at::Tensor& seen, const at::Tensor& expected);

}  // namespace magrpo::check
