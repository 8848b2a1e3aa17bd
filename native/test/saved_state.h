// What an optimizer saves, as it is read again.
#pragma once

#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "model/weights.h"
#include "train/optimizer.h"

namespace magrpo::test {

// Where write_tensors() puts what is described.
inline std::vector<model::TensorSource> sources_of(const train::Optimizer& optimizer, const std::string& file) {
  std::vector<model::TensorSource> result;
  int64_t begin = 0;
  for (const auto& info : optimizer.describe()) {
    result.push_back({info.name, file, info.dtype, info.shape, begin});
    begin += std::accumulate(info.shape.begin(), info.shape.end(), static_cast<int64_t>(c10::elementSize(info.dtype)), std::multiplies<>());
  }
  return result;
}

}  // namespace magrpo::test
