#include "train/accumulate.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/mul.h>

#include <chrono>
#include <cmath>

#include "core/errors.h"
#include "train/log_prob_head.h"

namespace magrpo::train {
namespace {

// The token that predicts `token` of `segment`: the one before it in its text.
int64_t predecessor(const TokenTree& tree, int32_t segment, int64_t token) {
  if (token > tree.offset[segment]) return token - 1;
  int32_t s = tree.parent[segment];
  while (tree.length(s) == 0) s = tree.parent[s];
  return tree.offset[s + 1] - 1;
}

// Policies want gradients only while a micro-batch runs: generation of the same weights must not build graphs. What a pass that
// failed left half-done is dropped.
class GradientScope {
 public:
  GradientScope(const std::vector<std::shared_ptr<Policy>>& policies, bool wanted) : policies_(policies), wanted_(wanted) {
    if (wanted_)
      for (const auto& policy : policies_) policy->require_gradients(true);
  }
  ~GradientScope() {
    if (!wanted_) return;
    for (const auto& policy : policies_) {
      policy->require_gradients(false);
      policy->drop_fresh_gradients();
    }
  }
  void absorb() {
    for (const auto& policy : policies_) policy->absorb_gradients();
  }
  GradientScope(const GradientScope&) = delete;
  GradientScope& operator=(const GradientScope&) = delete;

 private:
  const std::vector<std::shared_ptr<Policy>>& policies_;
  bool wanted_;
};

}  // namespace

Accumulation::Accumulation(const model::Decoder& decoder, ScoreRequest request, CancelFlagPtr cancel)
    : decoder_(decoder), request_(std::move(request)), cancel_(std::move(cancel)) {
  const TokenTree& tree = request_.tree;
  tree.check(decoder_.config().vocab_size, static_cast<int64_t>(request_.policies.size()));
  const size_t tokens = tree.ids.size();
  check_argument(request_.scored.size() == tokens, "Expected ", tokens, " flags in `scored` but received ", request_.scored.size(), ".");
  check_argument(request_.weights.empty() || request_.weights.size() == tokens, "Expected ", tokens, " weights but received ",
                 request_.weights.size(), ".");
  for (int64_t s = 0; s < tree.segments(); ++s)
    check_argument(tree.parent[s] >= 0 || request_.scored[tree.offset[s]] == 0, "Expected the first token of root segment ", s,
                   " not to be scored: nothing predicts it.");
  for (size_t i = 0; i < request_.weights.size(); ++i)
    check_argument(std::isfinite(request_.weights[i]) && (request_.weights[i] == 0.0f || request_.scored[i] != 0),
                   "Expected finite weights on scored tokens only but token ", i, " has weight ", request_.weights[i], ".");
  for (const auto& policy : request_.policies) adapters_.push_back(policy->adapter());
  segments_of_root_ = model::segments_by_root(tree);
  const int64_t most = request_.max_tokens_per_micro_batch > 0 ? request_.max_tokens_per_micro_batch : tree.tokens();
  pass_ends_ = model::cut_into_passes(tree, segments_of_root_, most);
  result_.log_probs.assign(tokens, 0.0f);
  result_.entropies.assign(tokens, 0.0f);
}

bool Accumulation::advance() {
  cancel_->check();
  const auto start = std::chrono::steady_clock::now();
  const TokenTree& tree = request_.tree;
  const int64_t begin = next_pass_ == 0 ? 0 : pass_ends_[next_pass_ - 1];
  const int64_t end = pass_ends_[next_pass_++];
  const bool wants_gradient = !request_.weights.empty();

  std::vector<int64_t> row_of_token(static_cast<size_t>(tree.tokens()));
  const model::PackedBatch batch = model::pack_roots(tree, segments_of_root_, begin, end, model::KeyPlace::kPass, row_of_token);
  std::vector<int64_t> tokens;  // the scored ones of this pass
  std::vector<int64_t> rows;    // the rows that predict them
  bool any_weight = false;
  for (int64_t r = begin; r < end; ++r)
    for (const int32_t s : segments_of_root_[r])
      for (int64_t token = tree.offset[s]; token < tree.offset[s + 1]; ++token) {
        if (request_.scored[token] == 0) continue;
        tokens.push_back(token);
        rows.push_back(row_of_token[predecessor(tree, s, token)]);
        any_weight = any_weight || (wants_gradient && request_.weights[token] != 0.0f);
      }
  if (!tokens.empty()) {
    const int64_t count = static_cast<int64_t>(tokens.size());
    const at::Tensor row_index = at::empty({count}, at::kLong);
    const at::Tensor targets = at::empty({count}, at::kLong);
    const at::Tensor weights = at::empty({count}, at::kFloat);
    for (int64_t i = 0; i < count; ++i) {
      row_index.mutable_data_ptr<int64_t>()[i] = rows[i];
      targets.mutable_data_ptr<int64_t>()[i] = tree.ids[tokens[i]];
      weights.mutable_data_ptr<float>()[i] = wants_gradient ? request_.weights[tokens[i]] : 0.0f;
    }
    GradientScope scope(request_.policies, any_weight);
    at::AutoGradMode grad_mode(any_weight);
    const at::Tensor hidden = decoder_.forward(batch, adapters_, nullptr);
    const TokenScores scores = score_tokens(hidden.index_select(0, row_index), decoder_.weights().head, targets);
    if (any_weight) {
      (scores.log_probs * weights).sum().backward();
      scope.absorb();
    }
    const at::Tensor log_probs = scores.log_probs.detach().contiguous();
    for (int64_t i = 0; i < count; ++i) {
      result_.log_probs[tokens[i]] = log_probs.const_data_ptr<float>()[i];
      result_.entropies[tokens[i]] = scores.entropies.const_data_ptr<float>()[i];
    }
  }
  result_.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return next_pass_ == pass_ends_.size();
}

}  // namespace magrpo::train
