// The kernels' microbenchmarks: each beside the plain libtorch operations that compute the same.
#pragma once

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

// All cases, at the shapes of a model of 30 million parameters: width 512, 8 query and 4 key heads of 64, MLP 1536, vocabulary 8192.
std::vector<KernelCase> kernel_cases();

}  // namespace magrpo::bench
