// The work lists of the CUDA kernels of tree attention: made on the host once per pass, shared by all layers.
#pragma once

#include <cstdint>
#include <vector>

#include "core/cuda_stream.h"
#include "kernels/tree_attention/tree_attention.h"

namespace magrpo::kernels {

// Items and keys per block of the CUDA kernels: they fit 48 KB of shared memory.
constexpr int items_per_block(int64_t head_dim) { return head_dim <= 128 ? 8 : 4; }
constexpr int keys_per_block(int64_t head_dim) { return head_dim <= 128 ? 32 : 16; }

// Items [item, ..) of a span, at most a block's worth: (position, head) pairs that share a KV head, heads first. They see the keys
// from `key_begin` (a multiple of kSplitKeys) to `key_end` of their path. `part` is the index of a partial result; -1: nothing to merge.
struct AttentionTask {
  int64_t span;
  int64_t item;
  int64_t key_begin;
  int64_t key_end;
  int64_t part;
};

// A span's `parts` partial results per block of items, consecutive from `part`.
struct AttentionMerge {
  int64_t span;
  int64_t part;
  int64_t parts;
};

// `count` keys from slot `begin`, the first at `position`; the spans viewers[viewer_begin .. viewer_end) see them.
struct KeyTile {
  int64_t begin;
  int64_t count;
  int64_t position;
  int64_t viewer_begin;
  int64_t viewer_end;
};

// Keys per block of a decoding row. Longer paths are split, so that few rows keep a device busy. The split depends on nothing else: a
// row's sums are the same whatever is in the batch.
constexpr int64_t kSplitKeys = 256;

// The largest head size of the CUDA kernels.
constexpr int64_t kMaxHeadDimCuda = 256;

// Pointers into a plan's words, on the host or in their copy on the device.
struct AttentionPlanView {
  const QuerySpan* spans;
  const KeyRange* ranges;
  const AttentionTask* tasks;
  const AttentionMerge* merges;
  const KeyTile* key_tiles;
  const int64_t* viewers;
  int64_t task_count, merge_count, key_tile_count;
  int64_t partial_floats;  // memory for partial results
};

struct AttentionPlan {
  std::vector<int64_t> words;
  AttentionPlanView view(const int64_t* base) const;

  int64_t spans = 0, ranges = 0, tasks = 0, merges = 0, key_tiles = 0;  // counts; `words` holds them in this order, viewers last
  int64_t partial_floats = 0;
};

// `decodes`: long paths of single queries are split, and there is no backward pass. Else any two ranges must be the same
// or share no key, as they are in a pass whose keys are its own rows.
AttentionPlan make_attention_plan(const AttentionShape& shape, const std::vector<QuerySpan>& spans, const std::vector<KeyRange>& ranges,
                                  bool decodes);

// Forward of all heads and spans, queued on `stream`. The plan lies on the device; `partials` holds its partial_floats.
void tree_attention_forward_cuda(const AttentionShape& shape, const AttentionPointers& data, const AttentionPlanView& plan, float* partials,
                                 core::CudaStream stream);

// Backward of all heads and spans. `delta`: scratch of (N, H) for `queries` = N. Every sum has a fixed order: no atomics.
void tree_attention_backward_cuda(const AttentionShape& shape, const AttentionPointers& data, const AttentionGradients& gradients,
                                  const AttentionPlanView& plan, int64_t queries, float* delta, core::CudaStream stream);

}  // namespace magrpo::kernels
