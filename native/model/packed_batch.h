// A token tree (or part of one) laid out for one pass of the decoder: segments side by side, nothing padded.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/token_tree.h"
#include "kernels/tree_attention/plan.h"

namespace magrpo::model {

// Rows [begin, end) of a pass belong to one policy (-1: the bare base).
struct PolicyRange {
  int32_t policy;
  int64_t begin;
  int64_t end;
};

// What the device needs of a pass, uploaded at once: (N) int64 each, and the plan of the attention kernels.
struct DevicePass {
  at::Tensor memory;            // of all that follow
  at::Tensor ids;
  at::Tensor positions;
  at::Tensor slots;             // undefined as that of the batch
  at::Tensor words;             // the plan's
  kernels::AttentionPlan plan;  // its numbers; the words are on the device
  kernels::AttentionPlanView view() const { return plan.view(words.const_data_ptr<int64_t>()); }
};

struct PackedBatch {
  at::Tensor ids;        // (N) int64
  at::Tensor positions;  // (N) int64
  std::vector<PolicyRange> policies;
  std::vector<kernels::QuerySpan> spans;
  std::vector<kernels::KeyRange> ranges;
  std::vector<kernels::SpanGroup> groups;
  // (N) int64 cache slots that receive this pass's keys and values; undefined: attention stays within the pass.
  at::Tensor slots;

  // On CUDA devices: made by the decoder's first use of the batch.
  mutable std::shared_ptr<const DevicePass> device;

  int64_t tokens() const { return ids.size(0); }
};

// Options of tensors on the host that are copied to or from a device: pinned where MAGRPO_CUDA_PINNED=1.
at::TensorOptions staging(const at::Device& device);

// Uploads a batch to a CUDA device through one staging buffer, without waiting for it if that is pinned. `shape` needs the heads and their size.
std::shared_ptr<const DevicePass> upload(const PackedBatch& batch, const kernels::AttentionShape& shape, const at::Device& device);

// Where a segment's keys stand: at its rows of the pass (training, scoring) or at its token offsets (generation's cache).
enum class KeyPlace { kPass, kCache };

// Packs all segments under the roots `roots[begin..end)`, in that order. `row_of_token` (N of the tree) receives each packed token's row.
PackedBatch pack_roots(const core::TokenTree& tree, const std::vector<std::vector<int32_t>>& segments_of_root, int64_t begin, int64_t end,
                       KeyPlace place, std::vector<int64_t>& row_of_token);

// (roots) the segments of each root in rising order; roots are sorted by policy, so that a policy's rows stay together.
std::vector<std::vector<int32_t>> segments_by_root(const core::TokenTree& tree);

// Cuts the list of roots into passes of at most `max_tokens` tokens each (a larger root is a pass by itself): end indices.
std::vector<int64_t> cut_into_passes(const core::TokenTree& tree, const std::vector<std::vector<int32_t>>& segments_of_root,
                                     int64_t max_tokens);

}  // namespace magrpo::model
