// Batched generation over a token tree: one prefill a distinct prompt, then one token a step for all rows still running.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/cancel.h"
#include "core/random.h"
#include "core/token_tree.h"
#include "model/row_decoder.h"
#include "rollout/drawn_tokens.h"
#include "rollout/sampler.h"

namespace magrpo::rollout {

// The bytes each token id stands for, to find stop strings that span tokens: token i is bytes[offset[i] .. offset[i+1]).
struct TokenBytes {
  std::vector<int32_t> offset;
  std::string bytes;
};

struct Row {
  int32_t segment;  // the row continues this segment's path
  int32_t limit;    // most new tokens
  core::RandomStream stream;
};

struct RowResult {
  std::vector<int32_t> ids;      // the end token included
  std::vector<float> log_probs;  // one an id
  std::vector<float> entropies;
  bool stopped = false;  // an end token or stop string; else the limit
};

struct GenerateRequest {
  core::TokenTree tree;
  std::vector<const model::Adapter*> adapters;  // one a policy, nullptr for full weights
  std::vector<Row> rows;
  Sampling sampling;
  // Every product has a shape that does not depend on what else is in the batch: one prompt a pass, at most kRowProductRows rows.
  bool deterministic = false;
  // The next step is queued before the tokens of this one have come to the host, so that a device never waits for it; rows that end
  // take part in one step more. Set on CUDA devices by MAGRPO_CUDA_PINNED=1; not used where the host chooses the tokens, nor with
  // `deterministic`.
  bool reads_late = false;
  std::shared_ptr<const TokenBytes> token_bytes;  // needed for stop strings only
  // Called after each token step with the rows (by number) and their new tokens.
  std::function<void(const std::vector<int32_t>&, const std::vector<int32_t>&)> on_tokens;
  // Called with each row (by number) that has ended, after the step that ended it.
  std::function<void(int32_t, const RowResult&)> on_row;
};

struct GenerateResult {
  std::vector<RowResult> rows;
  int64_t prefill_tokens = 0;
  double prefill_seconds = 0.0;
  double decode_seconds = 0.0;
};

// A generation in progress, advanced slice by slice so that other jobs may run between. Call on the executor thread only.
class Generation {
 public:
  Generation(const model::Decoder& decoder, GenerateRequest request, core::CancelFlagPtr cancel);

  // Prefills some prompts or appends one token to each running row. Returns true when nothing is left to do.
  bool advance();

  GenerateResult take_result() { return std::move(result_); }

 private:
  struct RunningRow {
    int32_t number;      // in the request
    int64_t slot;        // of its first new token in the cache
    int64_t position;    // of that token in its text
    int64_t logit_row;   // of the latest logits, the next token's
    uint32_t drawn = 0;  // new tokens chosen so far
    std::vector<kernels::KeyRange> ranges;
    std::vector<int32_t> seen;  // its path's ids, kept for the repetition penalty only
    std::string tail;           // its latest bytes, kept for stop strings only
  };

  // A step whose tokens the host has not seen.
  struct UnreadStep {
    std::vector<int32_t> numbers;  // of its rows
    DrawnTokens tokens;
  };

  void prefill_pass();
  void decode_step();
  // Decoding where tokens are read late.
  void decode_ahead();
  // Makes `step_` of the newest tokens of `rows`.
  void fill_step(std::span<RunningRow> rows);
  // Adds a token for each of `rows` to `choices_`, from its row of the logits (., V).
  void choose(std::span<RunningRow> rows, const float* logits);
  // The same where the logits are: on a device too, if it can draw with the settings.
  void choose(std::span<RunningRow> rows, const at::Tensor& logits);
  // Where the logits have a row for each of `rows`.
  DrawnTokens draw(std::span<RunningRow> rows, const at::Tensor& logits);
  double uniform_of_next(const RunningRow& row) const { return request_.rows[row.number].stream.uniform(row.drawn); }
  // The tokens of a step as the ids of `batch`, for the rows that still run.
  void take_ids(const UnreadStep& step, const model::PackedBatch& batch) const;
  // Reads a step's tokens and gives them to the rows that still run.
  void read(const UnreadStep& step);
  // Gives each of `rows` its token of `choices_`; drops the rows that end.
  void append_tokens(std::vector<RunningRow>& rows);
  bool ends_with_stop_string(RunningRow& row, int32_t token) const;

  const model::Decoder& decoder_;
  GenerateRequest request_;
  core::CancelFlagPtr cancel_;
  model::KvCache cache_;
  std::optional<model::RowDecoder> row_decoder_;  // where the decoder is one for it
  model::RowBatch step_;
  std::vector<Choice> choices_;  // of the latest step's rows
  std::vector<int32_t> numbers_, tokens_;
  std::vector<double> uniforms_;
  std::optional<UnreadStep> unread_;
  std::vector<std::vector<int32_t>> segments_of_root_;
  std::vector<int64_t> pass_ends_;  // prefill passes, as indices of roots
  size_t next_pass_ = 0;
  std::vector<std::vector<int32_t>> rows_of_segment_;
  std::vector<int64_t> first_slot_;  // (rows)
  std::vector<RunningRow> running_;
  size_t longest_stop_ = 0;
  GenerateResult result_;
};

}  // namespace magrpo::rollout
