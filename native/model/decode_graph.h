// Decoding steps as CUDA graphs: a step is recorded once and then started as a whole, instead of kernel by kernel. Off by default,
// on with MAGRPO_CUDA_GRAPHS=1. Runs on the software device in the tests, but has never run on a GPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/device_cuda.h"
#include "model/kv_cache.h"
#include "model/lora.h"
#include "model/packed_batch.h"

namespace magrpo::model {

class Decoder;

// Whether MAGRPO_CUDA_GRAPHS=1.
bool decode_graphs_wanted();

// The graph of the latest kind of step of one cache: the same rows, policies and number of blocks. It belongs to one generation, whose
// weights and adapters stay where they are. A kind is recorded when it comes
// the second time, since the first run of an operation may allocate. Call on the executor thread only.
class DecodeGraph {
 public:
  DecodeGraph();
  ~DecodeGraph();

  // Logits (N, V) of every row, valid until the next call.
  at::Tensor logits(const Decoder& decoder, const PackedBatch& batch, const std::vector<const Adapter*>& adapters, KvCache& cache);

 private:
  std::vector<int64_t> kind_;
  PackedBatch fixed_;  // what the recording reads, in memory that stays
  at::Tensor memory_;
  at::Tensor logits_;
  std::unique_ptr<core::cuda::Graph> recording_;
};

}  // namespace magrpo::model
