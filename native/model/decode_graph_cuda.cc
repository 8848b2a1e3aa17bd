#include "model/decode_graph_cuda.h"

#include <ATen/cuda/CUDAGraph.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/device_cuda.h"
#include "model/decoder.h"

namespace magrpo::model {
namespace {

// Everything the launches of a step depend on besides the content of its memory.
std::vector<int64_t> kind_of(const PackedBatch& batch) {
  const auto& plan = batch.device->plan;
  std::vector<int64_t> kind{batch.tokens(), plan.spans, plan.ranges, plan.tasks, plan.merges, plan.partial_floats};
  for (const auto& range : batch.policies) kind.insert(kind.end(), {range.policy, range.begin, range.end});
  return kind;
}

// The same pass within `memory`, which is laid out as `pass.memory`.
std::shared_ptr<const DevicePass> moved(const DevicePass& pass, const at::Tensor& memory) {
  auto result = std::make_shared<DevicePass>(pass);
  result->memory = memory;
  for (at::Tensor* part : {&result->ids, &result->positions, &result->slots, &result->words})
    if (part->defined()) *part = memory.narrow(0, part->storage_offset(), part->size(0));
  return result;
}

}  // namespace

struct DecodeGraph::Recording {
  at::cuda::CUDAGraph graph;
};

DecodeGraph::DecodeGraph() = default;
DecodeGraph::~DecodeGraph() = default;

bool decode_graphs_wanted() { return core::cuda::is_enabled("MAGRPO_CUDA_GRAPHS"); }

at::Tensor DecodeGraph::logits(const Decoder& decoder, const PackedBatch& batch, const std::vector<const Adapter*>& adapters,
                               KvCache& cache) {
  decoder.upload(batch);
  std::vector<int64_t> kind = kind_of(batch);
  if (kind != kind_) {
    recording_.reset();
    kind_ = std::move(kind);
    memory_ = at::empty_like(batch.device->memory);
    return decoder.logits(decoder.forward(batch, adapters, &cache));
  }
  memory_.copy_(batch.device->memory, /*non_blocking=*/true);
  if (!recording_) {
    fixed_ = batch;
    fixed_.device = moved(*batch.device, memory_);
    auto recording = std::make_unique<Recording>();
    // The default stream cannot be recorded.
    const auto before = c10::cuda::getCurrentCUDAStream();
    const auto stream = c10::cuda::getStreamFromPool(false, decoder.device().index());
    {
      c10::cuda::CUDAStreamGuard guard(stream);
      before.synchronize();
      recording->graph.capture_begin();
      logits_ = decoder.logits(decoder.forward(fixed_, adapters, &cache));
      recording->graph.capture_end();
    }
    recording_ = std::move(recording);
  }
  recording_->graph.replay();
  return logits_;
}

}  // namespace magrpo::model
