#include "train/value_head.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>

namespace magrpo::train {

ValueHead ValueHead::make(int64_t input_size, int64_t hidden_size, uint64_t seed, const at::Device& device) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const auto normal = [&](at::IntArrayRef shape) { return at::empty(shape, at::kFloat).normal_(0.0, 0.02, generator).to(device); };
  const auto zeros = [&](int64_t size) { return at::zeros({size}, at::TensorOptions().dtype(at::kFloat).device(device)); };
  return {normal({hidden_size, input_size}), zeros(hidden_size), normal({1, hidden_size}), zeros(1)};
}

at::Tensor ValueHead::values(const at::Tensor& hidden) const {
  const at::Tensor inner = at::linear(hidden.to(at::kFloat), hidden_weight, hidden_bias).tanh();
  return at::linear(inner, output_weight, output_bias).squeeze(1);
}

std::vector<model::NamedSlice> ValueHead::slices() const {
  const auto whole = [](const char* name, const at::Tensor& tensor) { return model::NamedSlice{name, tensor, 0, tensor.size(0)}; };
  return {whole("value_head.hidden.weight", hidden_weight), whole("value_head.hidden.bias", hidden_bias),
          whole("value_head.output.weight", output_weight), whole("value_head.output.bias", output_bias)};
}

}  // namespace magrpo::train
