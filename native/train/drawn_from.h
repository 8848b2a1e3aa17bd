// The distribution that scored tokens were drawn from, where it is not softmax(logits): what the sampler did to logits, row by row.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/token_set.h"
#include "kernels/logit_rows/logit_rows.h"

namespace magrpo::train {

// A scored token: what a filter kept, and the text before it, `seen` tokens of `text`, for the repetition penalty.
struct DrawnToken {
  core::TokenSet kept;
  std::shared_ptr<const std::vector<int32_t>> text;
  int64_t seen = 0;
};

// Held by autograd between the passes; the bytes of the token sets outlive it.
class DrawnFrom : public torch::CustomClassHolder {
 public:
  DrawnFrom(const kernels::LogitShape& shape, std::vector<DrawnToken> tokens) : shape_(shape), tokens_(std::move(tokens)) {}

  // Marks of logits (rows, n) of the scored tokens from `begin` on and of the vocabulary from `column` on, on the same device; undefined
  // where no token is marked.
  at::Tensor marks(const at::Tensor& logits, int64_t begin, int64_t column) const;

  // Shapes these logits in place.
  void shape(at::Tensor& logits, const at::Tensor& marks) const;

  // Sets the signs that `unshape` needs in marks of logits that are shaped.
  void note_signs(const at::Tensor& logits, at::Tensor& marks) const;

  // Turns gradients by shaped logits into those by logits, in place.
  void unshape(at::Tensor& gradients, const at::Tensor& marks) const;

 private:
  kernels::LogitShape shape_;
  std::vector<DrawnToken> tokens_;  // (M)
};

}  // namespace magrpo::train
