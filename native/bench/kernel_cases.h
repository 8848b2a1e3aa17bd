// The kernels' microbenchmarks: each beside the plain libtorch operations that compute the same. A kernel's cases stand in its
// bench.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace magrpo::bench {

struct KernelCase {
  std::string kernel;
  std::string shape;
  int64_t bytes;  // that have to be read or written at least, each once
  int64_t operations;
  std::function<void()> ours;
  std::function<void()> aten;
};

// Shapes of a model of 30 million parameters, and of a prompt with eight completions.
inline constexpr int64_t kWidth = 512, kHeads = 8, kKvHeads = 4, kDim = 64, kMlp = 1536, kVocab = 8192;
inline constexpr int64_t kPrompt = 128, kGroup = 8, kCompletion = 64, kTokens = kPrompt + kGroup * kCompletion;
inline constexpr double kEps = 1e-6;
inline constexpr int64_t kFloat = 4;

using AddCases = void (*)(std::vector<KernelCase>&);

// A static one registers cases: `const Registration products(add_products);`
struct Registration {
  explicit Registration(AddCases add);
};

using Compute = std::function<at::Tensor()>;

std::function<void()> without_gradient(Compute compute);

// Forward and backward, from a gradient of ones; the leaves' gradients are dropped, so that none is added to another.
std::function<void()> with_gradient(Compute compute, std::vector<at::Tensor> inputs);

// (sizes) normal numbers that want a gradient.
at::Tensor variable(at::IntArrayRef sizes);

// All cases, by name of the kernel.
std::vector<KernelCase> kernel_cases();

}  // namespace magrpo::bench
