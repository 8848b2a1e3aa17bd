#include "model/decode_graph.h"

#include <ATen/ops/empty_like.h>

#include "core/device_cuda.h"
#include "core/environment.h"
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

DecodeGraph::DecodeGraph() = default;
DecodeGraph::~DecodeGraph() = default;

bool decode_graphs_wanted() { return core::is_enabled("MAGRPO_CUDA_GRAPHS"); }

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
    recording_ = core::cuda::record_graph(decoder.device(), [&] { logits_ = decoder.logits(decoder.forward(fixed_, adapters, &cache)); });
  }
  recording_->replay();
  return logits_;
}

}  // namespace magrpo::model
