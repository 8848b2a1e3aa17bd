#include "rollout/generate.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include <algorithm>
#include <chrono>

#include "core/device.h"
#include "core/device_cuda.h"
#include "core/errors.h"
#include "core/parallel.h"
#include "kernels/row_product/row_product.h"

namespace magrpo::rollout {
namespace {

// Bytes reserved for what filters keep at a token.
constexpr size_t kUsualKeptBytes = 64;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Generation::Generation(const model::Decoder& decoder, GenerateRequest request, core::CancelFlagPtr cancel)
    : decoder_(decoder), request_(std::move(request)), cancel_(std::move(cancel)) {
  const core::TokenTree& tree = request_.tree;
  tree.check(decoder_.config().vocab_size, static_cast<int64_t>(request_.adapters.size()));
  request_.sampling.check();
  core::check_argument(request_.sampling.stop_strings.empty() || request_.token_bytes != nullptr,
                       "Expected the tokenizer's bytes for stop strings but the model has none.");
  for (const auto& text : request_.sampling.stop_strings) {
    core::check_argument(!text.empty(), "Expected stop strings of at least one character but received an empty one.");
    longest_stop_ = std::max(longest_stop_, text.size());
  }
  rows_of_segment_.resize(static_cast<size_t>(tree.segments()));
  int64_t slots = tree.tokens();
  for (size_t b = 0; b < request_.rows.size(); ++b) {
    const Row& row = request_.rows[b];
    core::check_argument(row.segment >= 0 && row.segment < tree.segments(), "Expected row ", b, " to continue a segment from 0 to ",
                         tree.segments() - 1, " but received ", row.segment, ".");
    core::check_argument(row.limit > 0, "Expected row ", b, " to get at least one new token but its limit is ", row.limit, ".");
    rows_of_segment_[row.segment].push_back(static_cast<int32_t>(b));
    first_slot_.push_back(slots);
    slots += row.limit;
  }
  result_.rows.resize(request_.rows.size());
  if constexpr (core::kHasCuda) request_.async_readback |= decoder_.device().is_cuda() && core::cuda::pins_memory();
  request_.async_readback &= supports_device_sampling(request_.sampling) && !request_.deterministic;
  cache_ = model::KvCache(decoder_.config(), slots, at::TensorOptions().dtype(at::kFloat).device(decoder_.device()));
  if (model::RowDecoder::supports(decoder_)) row_decoder_.emplace(decoder_, request_.adapters);
  segments_of_root_ = model::segments_by_root(tree);
  pass_ends_ = model::cut_into_passes(tree, segments_of_root_, request_.deterministic ? 1 : kPrefillTokens);
}

bool Generation::advance() {
  at::NoGradGuard no_grad;
  const core::DeviceScope scope = decoder_.on_device();
  cancel_->check();
  const auto start = std::chrono::steady_clock::now();
  if (next_pass_ < pass_ends_.size()) {
    prefill_pass();
    result_.prefill_seconds += seconds_since(start);
  } else if (!running_.empty()) {
    decode_step();
    result_.decode_seconds += seconds_since(start);
  }
  return next_pass_ == pass_ends_.size() && running_.empty();
}

void Generation::prefill_pass() {
  const core::TokenTree& tree = request_.tree;
  const int64_t begin = next_pass_ == 0 ? 0 : pass_ends_[next_pass_ - 1];
  const int64_t end = pass_ends_[next_pass_++];
  std::vector<int64_t> row_of_token(static_cast<size_t>(tree.tokens()));
  const model::PackedBatch batch = model::pack_roots(tree, segments_of_root_, begin, end, model::KeyPlace::kCache, row_of_token);
  result_.prefill_tokens += batch.tokens();
  const at::Tensor hidden = decoder_.forward(batch, request_.adapters, &cache_);

  // One row of logits per continued segment, whatever its number of samples.
  const auto starts = tree.starts();
  std::vector<int64_t> last_rows;
  std::vector<std::pair<int32_t, int64_t>> continued;  // (segment, row of logits)
  for (int64_t r = begin; r < end; ++r)
    for (const int32_t s : segments_of_root_[r]) {
      if (rows_of_segment_[s].empty()) continue;
      int32_t last = s;
      while (tree.length(last) == 0) last = tree.parent[last];
      continued.emplace_back(s, static_cast<int64_t>(last_rows.size()));
      last_rows.push_back(row_of_token[tree.offset[last + 1] - 1]);
    }
  if (continued.empty()) return;
  const at::Tensor index = at::empty({static_cast<int64_t>(last_rows.size())}, model::staging(hidden.device()).dtype(at::kLong));
  std::copy(last_rows.begin(), last_rows.end(), index.mutable_data_ptr<int64_t>());
  const at::Tensor logits = decoder_.logits(hidden.index_select(0, index.to(hidden.device(), /*non_blocking=*/true)));

  std::vector<RunningRow> rows;
  for (const auto& [segment, logit_row] : continued)
    for (const int32_t number : rows_of_segment_[segment]) {
      RunningRow row{number, first_slot_[number], starts[segment] + tree.length(segment), logit_row, 0, {}, {}, {}};
      for (int32_t s = segment; s >= 0; s = tree.parent[s])
        if (tree.length(s) > 0) row.ranges.push_back({tree.offset[s], tree.length(s), starts[s]});
      std::reverse(row.ranges.begin(), row.ranges.end());
      row.ranges.push_back({row.slot, 0, row.position});
      RowResult& result = result_.rows[number];
      const auto limit = static_cast<size_t>(request_.rows[number].limit);
      if (request_.sampling.repetition_penalty != 1.0) {
        row.seen = tree.path(segment);
        row.seen.reserve(row.seen.size() + limit);
      }
      result.ids.reserve(limit);
      result.log_probs.reserve(limit);
      result.entropies.reserve(limit);
      if (request_.sampling.reshapes()) {
        result.model_log_probs.reserve(limit);
        result.model_entropies.reserve(limit);
      }
      if (request_.sampling.filters()) result.kept.reserve(limit * kUsualKeptBytes);
      rows.push_back(std::move(row));
    }
  choices_.clear();
  choose(rows, logits);
  append_tokens(rows);
  std::move(rows.begin(), rows.end(), std::back_inserter(running_));
}

void Generation::decode_step() {
  if (request_.async_readback) return decode_step_async();
  const int64_t count = static_cast<int64_t>(running_.size());
  const int64_t most = request_.deterministic ? kernels::kRowProductRows : count;
  choices_.clear();
  for (int64_t begin = 0; begin < count; begin += most) {
    const std::span rows(running_.begin() + begin, running_.begin() + std::min(count, begin + most));
    build_step(rows);
    if (row_decoder_) choose(rows, row_decoder_->logits(step_, cache_));
    else choose(rows, decoder_.step_logits(step_.packed(), request_.adapters, cache_));
  }
  append_tokens(running_);
}

void Generation::decode_step_async() {
  std::optional<PendingStep> next;
  const auto goes_on = [this](const RunningRow& row) { return static_cast<int32_t>(row.drawn) < request_.rows[row.number].limit; };
  if (std::any_of(running_.begin(), running_.end(), goes_on)) {
    // Finished rows stay in the step; their extra token is discarded. Each has a cache slot for its last token.
    build_step(running_);
    const model::PackedBatch batch = step_.packed();
    if (pending_) copy_ids(*pending_, batch);
    std::vector<int32_t> numbers;
    for (const RunningRow& row : running_) numbers.push_back(row.number);
    next.emplace(std::move(numbers), draw(running_, decoder_.step_logits(batch, request_.adapters, cache_)));
  }
  if (pending_) read(*pending_);
  pending_ = std::move(next);
}

void Generation::copy_ids(const PendingStep& step, const model::PackedBatch& batch) const {
  at::Tensor tokens = step.tokens.tokens();
  if (step.numbers.size() != running_.size()) {
    const at::Tensor index = at::empty({batch.tokens()}, model::staging(decoder_.device()).dtype(at::kLong));
    for (size_t i = 0, at = 0; i < running_.size(); ++i) {
      while (step.numbers[at] != running_[i].number) ++at;
      index.mutable_data_ptr<int64_t>()[i] = static_cast<int64_t>(at);
    }
    tokens = tokens.index_select(0, index.to(decoder_.device(), /*non_blocking=*/true));
  }
  decoder_.upload(batch);
  (batch.device ? batch.device->ids : batch.ids).copy_(tokens);
}

void Generation::read(const PendingStep& step) {
  choices_.clear();
  step.tokens.read(choices_);
  // Skip rows that finished in the previous step.
  for (size_t i = 0, at = 0; i < running_.size(); ++i, ++at) {
    while (step.numbers[at] != running_[i].number) ++at;
    choices_[i] = choices_[at];
  }
  append_tokens(running_);
}

void Generation::build_step(std::span<RunningRow> rows) {
  step_.clear();
  for (size_t i = 0; i < rows.size(); ++i) {
    RunningRow& row = rows[i];
    const int64_t at = static_cast<int64_t>(i), newest = row.drawn - 1;
    row.logit_row = at;
    row.ranges.back().length = row.drawn;
    step_.ids.push_back(result_.rows[row.number].ids.back());
    step_.positions.push_back(row.position + newest);
    step_.slots.push_back(row.slot + newest);
    const int64_t range_begin = static_cast<int64_t>(step_.ranges.size());
    step_.ranges.insert(step_.ranges.end(), row.ranges.begin(), row.ranges.end());
    step_.spans.push_back({at, 1, row.position + newest, range_begin, static_cast<int64_t>(step_.ranges.size())});
    const int32_t policy = request_.tree.policy[request_.rows[row.number].segment];
    if (!step_.policies.empty() && step_.policies.back().policy == policy) step_.policies.back().end = at + 1;
    else step_.policies.push_back({policy, at, at + 1});
  }
}

void Generation::choose(std::span<RunningRow> rows, const float* logits) {
  const size_t first = choices_.size();
  const int64_t vocab_size = decoder_.config().vocab_size;
  choices_.resize(first + rows.size());
  core::parallel_for(static_cast<int64_t>(rows.size()), 1, [&](int64_t begin, int64_t end) {
    thread_local SamplerScratch scratch;  // reused across steps
    for (int64_t i = begin; i < end; ++i) {
      choices_[first + i] = choose_token(logits + rows[i].logit_row * vocab_size, vocab_size, request_.sampling, rows[i].seen,
                                         next_uniform(rows[i]), scratch);
      std::vector<uint8_t>& kept = result_.rows[rows[i].number].kept;
      kept.insert(kept.end(), scratch.kept.begin(), scratch.kept.end());
    }
  });
  for (RunningRow& row : rows) ++row.drawn;
}

void Generation::choose(std::span<RunningRow> rows, const at::Tensor& logits) {
  if (!logits.is_cuda() || !supports_device_sampling(request_.sampling)) {
    const at::Tensor host = logits.cpu().contiguous();
    return choose(rows, host.const_data_ptr<float>());
  }
  // When decoding, each row has a row of logits; after the prefill, samples of a prompt share one.
  if (logits.size(0) == static_cast<int64_t>(rows.size())) return draw(rows, logits).read(choices_);
  const at::Tensor index = at::empty({static_cast<int64_t>(rows.size())}, model::staging(logits.device()).dtype(at::kLong));
  for (size_t i = 0; i < rows.size(); ++i) index.mutable_data_ptr<int64_t>()[i] = rows[i].logit_row;
  draw(rows, logits.index_select(0, index.to(logits.device(), /*non_blocking=*/true))).read(choices_);
}

DrawnTokens Generation::draw(std::span<RunningRow> rows, const at::Tensor& logits) {
  uniforms_.clear();
  for (RunningRow& row : rows) {
    uniforms_.push_back(next_uniform(row));
    ++row.drawn;
  }
  return {logits, request_.sampling, uniforms_};
}

void Generation::append_tokens(std::vector<RunningRow>& rows) {
  const Sampling& sampling = request_.sampling;
  row_numbers_.clear();
  new_tokens_.clear();
  size_t kept = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    RunningRow& row = rows[i];
    RowResult& result = result_.rows[row.number];
    const Choice& choice = choices_[i];
    check_finite(choice.log_prob);
    result.ids.push_back(choice.token);
    result.log_probs.push_back(choice.log_prob);
    result.entropies.push_back(choice.entropy);
    if (sampling.reshapes()) {
      result.model_log_probs.push_back(choice.model_log_prob);
      result.model_entropies.push_back(choice.model_entropy);
    }
    if (sampling.repetition_penalty != 1.0) row.seen.push_back(choice.token);
    result.stopped = std::find(sampling.stop_ids.begin(), sampling.stop_ids.end(), choice.token) != sampling.stop_ids.end() ||
                     ends_with_stop_string(row, choice.token);
    row_numbers_.push_back(row.number);
    new_tokens_.push_back(choice.token);
    const bool ended = result.stopped || static_cast<int32_t>(result.ids.size()) == request_.rows[row.number].limit;
    if (ended && request_.on_row) request_.on_row(row.number, result);
    if (ended) continue;
    if (kept != i) rows[kept] = std::move(row);
    ++kept;
  }
  rows.erase(rows.begin() + static_cast<int64_t>(kept), rows.end());
  if (request_.on_tokens) request_.on_tokens(row_numbers_, new_tokens_);
}

bool Generation::ends_with_stop_string(RunningRow& row, int32_t token) const {
  if (longest_stop_ == 0) return false;
  const TokenBytes& table = *request_.token_bytes;
  if (token + 1 >= static_cast<int32_t>(table.offset.size())) return false;
  const size_t old_size = row.tail.size();
  row.tail.append(table.bytes, static_cast<size_t>(table.offset[token]),
                  static_cast<size_t>(table.offset[token + 1] - table.offset[token]));
  bool found = false;
  for (const auto& text : request_.sampling.stop_strings) {
    // A match must end within the new bytes: an earlier one would have finished the row.
    const size_t from = old_size >= text.size() ? old_size - text.size() + 1 : 0;
    found = found || row.tail.find(text, from) != std::string::npos;
  }
  if (row.tail.size() > longest_stop_) row.tail.erase(0, row.tail.size() - longest_stop_);
  return found;
}

}  // namespace magrpo::rollout
