// Log-probabilities of chosen tokens straight from hidden states: logits exist for one tile of rows and tokens at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include "train/drawn_from.h"

namespace magrpo::train {

struct TokenScores {
  at::Tensor log_probs;  // (M) float32, differentiable in hidden and head
  at::Tensor entropies;  // (M) float32, differentiable too
};

// At most this many logits exist at once.
inline constexpr int64_t kChunkLogits = int64_t{1} << 22;

// Tokens of the vocabulary whose logits are computed together on the CPU; on a GPU all are.
inline constexpr int64_t kTileColumns = 8192;

// hidden: (M, h), head: (V, h), targets: (M) int64. log_probs[i] = logits[i][targets[i]] - logsumexp(logits[i]), with the logits as
// `drawn_from` shapes them; null: as they are.
// The backward pass forms each tile's logits again, unless there is only one: d logits = g (onehot - p) - g_H p (log p + H), with p the softmax.
TokenScores score_tokens(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets, int64_t chunk_logits = kChunkLogits,
                         int64_t tile_columns = kTileColumns, c10::intrusive_ptr<DrawnFrom> drawn_from = {});

}  // namespace magrpo::train
