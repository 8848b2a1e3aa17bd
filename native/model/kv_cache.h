// Keys and values of everything one generation has seen, preallocated: a slot a token, so that rows leave without moving anything.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <memory>
#include <vector>

#include "model/config.h"

namespace magrpo::model {

class DecodeGraph;

struct KvCache {
  std::vector<at::Tensor> keys;    // (layers) of (slots, K x D) float32
  std::vector<at::Tensor> values;  // the same
  std::shared_ptr<DecodeGraph> graph;  // decoding steps recorded for this cache, on CUDA devices

  KvCache() = default;
  // Memory is reserved here and touched when a slot is first written.
  KvCache(const Config& config, int64_t slots, const at::TensorOptions& options) {
    for (int64_t layer = 0; layer < config.num_layers; ++layer) {
      keys.push_back(at::empty({slots, config.kv_size()}, options));
      values.push_back(at::empty({slots, config.kv_size()}, options));
    }
  }
};

}  // namespace magrpo::model
