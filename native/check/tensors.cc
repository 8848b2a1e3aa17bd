#include "check/tensors.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>

#include <cmath>

namespace magrpo::check {

at::Tensor random(at::IntArrayRef shape, uint64_t seed) {
  return at::empty(shape, at::kFloat).normal_(0.0, 1.0, at::detail::createCPUGenerator(seed));
}

at::Tensor unwritten(at::IntArrayRef shape, const at::Device& device) {
  return at::full(shape, NAN, at::TensorOptions(at::kFloat).device(device));
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

double relative_difference(const at::Tensor& seen, const at::Tensor& expected) {
  return largest_difference(seen / (1 + expected.abs()), expected / (1 + expected.abs()));
}

}  // namespace magrpo::check
