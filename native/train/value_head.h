// A critic's head: reads a hidden state, gives a value. Linear(h, n) -> tanh -> Linear(n, 1), as CoMLRL's critics have it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "model/weights.h"

namespace magrpo::train {

struct ValueHead {
  at::Tensor hidden_weight;  // (n, h) float32
  at::Tensor hidden_bias;    // (n)
  at::Tensor output_weight;  // (1, n)
  at::Tensor output_bias;    // (1)

  // Weights are normal with deviation 0.02 from `seed`, biases zero.
  static ValueHead make(int64_t input_size, int64_t hidden_size, uint64_t seed, const at::Device& device);

  // hidden: (M, h) to (M) float32 values.
  at::Tensor values(const at::Tensor& hidden) const;

  std::vector<model::NamedSlice> slices() const;
};

}  // namespace magrpo::train
