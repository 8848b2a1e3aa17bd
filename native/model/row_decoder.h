// Decode-step forward pass: one token per sequence, float32 on the CPU, no allocation.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "core/floats.h"
#include "model/decoder.h"
#include "model/rotary.h"

namespace magrpo::model {

// The newest token of each text, one per row. Rows of a policy stand together.
struct RowBatch {
  std::vector<int64_t> ids;
  std::vector<int64_t> positions;
  std::vector<int64_t> slots;  // of the cache: where the token's keys and values go
  std::vector<PolicyRange> policies;
  std::vector<kernels::QuerySpan> spans;  // one per row
  std::vector<kernels::KeyRange> ranges;

  int64_t rows() const { return static_cast<int64_t>(ids.size()); }
  // Empty again, its memory kept.
  void clear();
  // The same for Decoder::forward.
  PackedBatch packed() const;
};

// Computes what Decoder::forward and Decoder::logits compute, without libtorch's operations and without allocating, both of which
// would cost more than the work of a step: sums differ in rounding only. More rows than kernels/row_product.h supports go through
// libtorch's products. A row's logits do not depend on the other rows, bit for bit, up to
// kernels::kRowProductRows rows. Call on the executor thread only; nobody may change the weights meanwhile.
class RowDecoder {
 public:
  // Whether the decoder is one for this class: float32 on the CPU.
  static bool supports(const Decoder& decoder);

  // `adapters[p]` belongs to policy p of the batches, nullptr: none.
  RowDecoder(const Decoder& decoder, const std::vector<const Adapter*>& adapters);

  // Writes the rows' keys and values to the cache. Returns logits (rows, V), valid until the next call.
  const float* logits(const RowBatch& batch, KvCache& cache);

 private:
  // A linear map: of `layer`, the projections whose outputs stand side by side.
  struct LinearSite {
    size_t layer;
    std::initializer_list<Projection> projections;
  };

  // The LoRA update of one policy and projection.
  struct LoraSlice {
    const float* a;  // (rank, in)
    const float* b;  // (rank, width): transposed
    int64_t rank, width;
    float scale;
    PolicyRange range;
    int64_t column;  // of y, where its columns begin
    float* inner;    // (rows, rank)
  };

  // Makes room for a batch.
  void reserve(const RowBatch& batch);
  // Fills in lora_ for a linear map.
  void collect_lora(const RowBatch& batch, const LinearSite& site);
  // Whether this batch's products are those of kernels/row_product.h, rather than libtorch's.
  bool use_row_product() const;
  // Calls work(begin, end) for parts of [0, size), each of at least `grain`.
  template <class Work>
  void parallel_over(int64_t size, int64_t grain, const Work& work) const;
  void norm(const float* x, const at::Tensor& weight, float* y) const;
  // Adds to hidden_ what a product of x gives, through a norm where `post_norm` is defined.
  void add_linear(const RowBatch& batch, const core::Floats& x, const at::Tensor& weight, const at::Tensor& bias, const LinearSite& site,
                  const at::Tensor& post_norm);
  // y = x · weightᵀ + bias + adapters, or added to y.
  void linear(const RowBatch& batch, const core::Floats& x, const at::Tensor& weight, const at::Tensor& bias, const LinearSite& site,
              bool adds, core::Floats& y);
  void attention(const RowBatch& batch, size_t layer, KvCache& cache);

  const Decoder& decoder_;
  const std::vector<const Adapter*> adapters_;
  // B of each policy, layer and projection as (rank, out).
  std::vector<std::vector<std::array<at::Tensor, kProjections>>> transposed_;
  int64_t rows_ = 0;
  // (rows, ...) activations.
  core::Floats hidden_, normalized_, qkv_, q_, attention_out_, gate_up_, activated_, logits_, inner_;
  core::Floats unrotated_;  // (rows, H x D) normalized queries or keys before they are rotated
  core::Floats scratch_;  // of attention
  std::vector<Rotation> rotations_;  // of all positions up to the largest that was met, or more, for each of the ropes
  std::vector<LoraSlice> lora_;
  std::vector<int64_t> part_ends_;  // rows whose attention is computed together
};

}  // namespace magrpo::model
