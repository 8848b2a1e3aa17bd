#include "train/pass.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/errors.h"
#include "train/log_prob_head.h"

namespace magrpo::train {
namespace {

// The token that predicts `token` of `segment`: the one before it in its text.
int64_t predecessor(const core::TokenTree& tree, int32_t segment, int64_t token) {
  if (token > tree.offset[segment]) return token - 1;
  int32_t s = tree.parent[segment];
  while (tree.length(s) == 0) s = tree.parent[s];
  return tree.offset[s + 1] - 1;
}

// (indices) of `value(index)`, on `device`.
template <typename T, typename Value>
at::Tensor tensor_of(const std::vector<int64_t>& indices, const at::Device& device, Value&& value) {
  const auto options = model::staging(device).dtype(c10::CppTypeToScalarType<T>::value);
  at::Tensor tensor = at::empty({static_cast<int64_t>(indices.size())}, options);
  std::transform(indices.begin(), indices.end(), tensor.mutable_data_ptr<T>(), value);
  return tensor.to(device, /*non_blocking=*/true);
}

// (indices) of `values[index]`, on `device`; undefined where there are no values.
at::Tensor float_tensor(const std::vector<float>& values, const std::vector<int64_t>& indices, const at::Device& device) {
  return values.empty() ? at::Tensor() : tensor_of<float>(indices, device, [&](int64_t index) { return values[index]; });
}

// Enables gradients of the policies while a micro-batch runs: generation with the same weights must not build graphs. Discards gradients
// of a micro-batch that failed.
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
      policy->discard_fresh_gradients();
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

Pass::Pass(const model::Decoder& decoder, PassRequest request, core::CancelFlagPtr cancel)
    : decoder_(decoder), request_(std::move(request)), cancel_(std::move(cancel)) {
  const core::TokenTree& tree = request_.tree;
  check_request();
  read_kept();
  for (const auto& policy : request_.policies) adapters_.push_back(policy->adapter());
  segments_of_root_ = model::segments_by_root(tree);
  const int64_t max_tokens = request_.max_tokens_per_micro_batch > 0 ? request_.max_tokens_per_micro_batch : tree.tokens();
  micro_batch_ends_ = model::cut_into_passes(tree, segments_of_root_, max_tokens);
  result_.log_probs.assign(tree.ids.size(), 0.0f);
  result_.entropies.assign(tree.ids.size(), 0.0f);
  result_.values.assign(request_.value_tokens.size(), 0.0f);
}

void Pass::read_kept() {
  if (request_.kept.empty()) return;
  const core::TokenTree& tree = request_.tree;
  kept_.resize(tree.ids.size());
  size_t at = 0;
  for (size_t i = 0; i < kept_.size(); ++i) {
    if (request_.scored[i] == 0) continue;
    kept_[i] = core::TokenSet(request_.kept, at, decoder_.config().vocab_size);
    core::check_argument(kept_[i].contains(tree.ids[i]), "Expected token ", tree.ids[i], " at position ", i,
                         " of the batch to be among those that its sampler kept.");
  }
  core::check_argument(at == request_.kept.size(), "Expected one set of kept tokens per scored token but ", request_.kept.size() - at,
                       " bytes are left.");
}

c10::intrusive_ptr<DrawnFrom> Pass::drawn_from(const std::vector<int64_t>& tokens, const std::vector<int32_t>& segments) const {
  const bool penalises = request_.repetition_penalty != 1.0;
  if (request_.temperature == 1.0 && !penalises && kept_.empty()) return {};
  const core::TokenTree& tree = request_.tree;
  const auto starts = tree.starts();
  std::vector<DrawnToken> drawn(tokens.size());
  std::shared_ptr<const std::vector<int32_t>> text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const int32_t s = segments[i];
    if (!kept_.empty()) drawn[i].kept = kept_[tokens[i]];
    if (!penalises) continue;
    if (i == 0 || s != segments[i - 1]) text = std::make_shared<const std::vector<int32_t>>(tree.path(s));
    drawn[i].text = text;
    drawn[i].seen = starts[s] + tokens[i] - tree.offset[s];
  }
  const kernels::LogitShape shape{static_cast<float>(1.0 / request_.temperature), static_cast<float>(request_.repetition_penalty)};
  return c10::make_intrusive<DrawnFrom>(shape, std::move(drawn));
}

void Pass::check_request() const {
  const core::TokenTree& tree = request_.tree;
  tree.check(decoder_.config().vocab_size, static_cast<int64_t>(request_.policies.size()));
  const size_t tokens = tree.ids.size();
  const auto check_size = [](const char* name, size_t expected, size_t received, bool may_be_empty) {
    core::check_argument(received == expected || (may_be_empty && received == 0), "Expected ", expected, " entries in ", name,
                         " but received ", received, ".");
  };
  check_size("scored", tokens, request_.scored.size(), false);
  core::check_argument(request_.temperature > 0.0 && std::isfinite(1.0 / request_.temperature),
                       "Expected a temperature above 0 but received ", request_.temperature,
                       ": a greedy choice has no distribution to be scored under.");
  core::check_argument(request_.repetition_penalty > 0.0 && std::isfinite(request_.repetition_penalty),
                       "Expected a positive repetitionPenalty but received ", request_.repetition_penalty, ".");
  check_size("weights", tokens, request_.weights.size(), true);
  const bool trains = !request_.weights.empty();
  check_size("oldLogProbs", tokens, request_.old_log_probs.size(), !(trains && request_.loss.clip));
  check_size("referenceLogProbs", tokens, request_.reference_log_probs.size(), !(trains && request_.loss.kl != KlEstimator::kNone));
  check_size("penalties", tokens, request_.penalties.size(), !(trains && request_.loss.has_penalty()));
  check_size("valueTargets", request_.value_tokens.size(), request_.value_targets.size(), true);
  check_size("valueWeights", request_.value_tokens.size(), request_.value_weights.size(), true);
  for (int64_t s = 0; s < tree.segments(); ++s)
    core::check_argument(tree.parent[s] >= 0 || request_.scored[tree.offset[s]] == 0, "Expected the first token of root segment ", s,
                         " not to be scored: nothing predicts it.");
  for (size_t i = 0; i < request_.weights.size(); ++i)
    core::check_argument(std::isfinite(request_.weights[i]) && (request_.weights[i] == 0.0f || request_.scored[i] != 0),
                         "Expected finite weights on scored tokens only but token ", i, " has weight ", request_.weights[i], ".");
  if (trains) {
    const auto is_full = [](const auto& policy) { return policy->is_full(); };
    core::check_argument(std::all_of(request_.policies.begin(), request_.policies.end(), is_full) ||
                             std::none_of(request_.policies.begin(), request_.policies.end(), is_full),
                         "Expected full policies or adapters but received both: texts of the adapters would also train the full weights.");
    for (int64_t s = 0; s < tree.segments(); ++s)
      for (int64_t i = tree.offset[s]; i < tree.offset[s + 1]; ++i)
        core::check_argument(tree.policy[s] >= 0 || request_.weights[i] == 0.0f, "Expected weights on tokens of policies only but token ",
                             i, " of the bare base has weight ", request_.weights[i], ".");
  }
  for (const int32_t token : request_.value_tokens) {
    core::check_argument(token >= 0 && token < static_cast<int64_t>(tokens), "Expected value tokens from 0 to ", tokens - 1,
                         " but received ", token, ".");
    const auto after = std::upper_bound(tree.offset.begin(), tree.offset.end(), token);
    const int32_t policy = tree.policy[static_cast<size_t>(after - tree.offset.begin()) - 1];
    core::check_argument(policy >= 0 && request_.policies[policy]->value_head() != nullptr,
                         "Expected a policy with a value head for value token ", token, ": call attachValueHead first.");
  }
}

bool Pass::advance() {
  cancel_->check();
  const core::DeviceScope device_scope = decoder_.on_device();
  const auto start = std::chrono::steady_clock::now();
  const core::TokenTree& tree = request_.tree;
  const int64_t begin = next_micro_batch_ == 0 ? 0 : micro_batch_ends_[next_micro_batch_ - 1];
  const int64_t end = micro_batch_ends_[next_micro_batch_++];
  const bool trains = !request_.weights.empty();

  std::vector<int64_t> row_of_token(static_cast<size_t>(tree.tokens()), -1);
  const model::PackedBatch batch = model::pack_roots(tree, segments_of_root_, begin, end, model::KeyPlace::kPass, row_of_token);
  std::vector<int64_t> tokens;  // the scored ones of this pass
  std::vector<int64_t> rows;    // the rows that predict them
  std::vector<int32_t> segments;  // of the tokens
  bool any_weight = false;
  for (int64_t r = begin; r < end; ++r)
    for (const int32_t s : segments_of_root_[r])
      for (int64_t token = tree.offset[s]; token < tree.offset[s + 1]; ++token) {
        if (request_.scored[token] == 0) continue;
        tokens.push_back(token);
        segments.push_back(s);
        rows.push_back(row_of_token[predecessor(tree, s, token)]);
        any_weight = any_weight ||
                     (trains && (request_.weights[token] != 0.0f || (request_.loss.has_penalty() && request_.penalties[token] != 0.0f)));
      }
  const bool has_values =
      std::any_of(request_.value_tokens.begin(), request_.value_tokens.end(), [&](int32_t token) { return row_of_token[token] >= 0; });
  const bool trains_values = trains && has_values && !request_.value_weights.empty();
  if (!tokens.empty() || has_values) {
    const bool wants_gradient = any_weight || trains_values;
    GradientScope scope(request_.policies, wants_gradient);
    at::AutoGradMode grad_mode(wants_gradient);
    const at::Tensor hidden = decoder_.forward(batch, adapters_, nullptr, request_.checkpoint_activations);
    // Results are read once all work is queued, so that a device does not run dry meanwhile.
    Reads reads;
    at::Tensor objective = at::zeros({}, at::TensorOptions().dtype(at::kFloat).device(hidden.device()));
    if (!tokens.empty()) {
      const at::Tensor targets = tensor_of<int64_t>(tokens, decoder_.device(), [&](int64_t token) { return tree.ids[token]; });
      const TokenScores scores =
          score_tokens(hidden.index_select(0, tensor_of<int64_t>(rows, decoder_.device(), [](int64_t row) { return row; })),
                       decoder_.weights().head, targets, kChunkLogits, kTileColumns, drawn_from(tokens, segments));
      const auto gather = [&](const std::vector<float>& values) { return float_tensor(values, tokens, decoder_.device()); };
      if (any_weight)
        objective = objective + policy_objective(scores,
                                                 {gather(request_.weights), gather(request_.old_log_probs),
                                                  gather(request_.reference_log_probs), gather(request_.penalties)},
                                                 request_.loss);
      reads.push_back([this, &tokens, both = at::stack({scores.log_probs.detach(), scores.entropies.detach()})] {
        const at::Tensor host = both.cpu();
        const float* log_probs = host.const_data_ptr<float>();
        const float* entropies = log_probs + tokens.size();
        for (size_t i = 0; i < tokens.size(); ++i) {
          result_.log_probs[tokens[i]] = log_probs[i];
          result_.entropies[tokens[i]] = entropies[i];
        }
      });
    }
    if (has_values) objective = add_value_terms(objective, hidden, row_of_token, begin, end, trains_values, reads);
    if (wants_gradient) {
      objective.backward();
      scope.absorb();
    }
    for (const auto& read : reads) read();
  }
  result_.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return next_micro_batch_ == micro_batch_ends_.size();
}

at::Tensor Pass::add_value_terms(at::Tensor objective, const at::Tensor& hidden, const std::vector<int64_t>& row_of_token, int64_t begin,
                                 int64_t end, bool wants_gradient, Reads& reads) {
  const core::TokenTree& tree = request_.tree;
  for (size_t p = 0; p < request_.policies.size(); ++p) {
    std::vector<int64_t> entries;  // of value_tokens: this policy's in this pass
    for (int64_t r = begin; r < end; ++r)
      for (const int32_t s : segments_of_root_[r])
        for (size_t u = 0; u < request_.value_tokens.size(); ++u)
          if (tree.policy[s] == static_cast<int32_t>(p) && request_.value_tokens[u] >= tree.offset[s] &&
              request_.value_tokens[u] < tree.offset[s + 1])
            entries.push_back(static_cast<int64_t>(u));
    if (entries.empty()) continue;
    const at::Tensor rows =
        tensor_of<int64_t>(entries, decoder_.device(), [&](int64_t u) { return row_of_token[request_.value_tokens[u]]; });
    const at::Tensor values = request_.policies[p]->value_head()->values(hidden.index_select(0, rows));
    reads.push_back([this, entries, values = values.detach()] {
      const at::Tensor host = values.cpu().contiguous();
      for (size_t i = 0; i < entries.size(); ++i) result_.values[entries[i]] = host.const_data_ptr<float>()[i];
    });
    if (wants_gradient) {
      const at::Tensor errors = float_tensor(request_.value_targets, entries, decoder_.device()) - values;
      objective = objective - (float_tensor(request_.value_weights, entries, decoder_.device()) * errors.square()).sum();
    }
  }
  return objective;
}

}  // namespace magrpo::train
