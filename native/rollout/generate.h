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
  RandomStream stream;
};

struct RowResult {
  std::vector<int32_t> ids;      // the end token included
  std::vector<float> log_probs;  // one an id
  std::vector<float> entropies;
  bool stopped = false;  // an end token or stop string; else the limit
};

struct GenerateRequest {
  TokenTree tree;
  std::vector<const model::Adapter*> adapters;  // one a policy, nullptr for full weights
  std::vector<Row> rows;
  Sampling sampling;
  // Every product has a shape that does not depend on what else is in the batch: one prompt a pass, at most kRowProductRows rows.
  bool deterministic = false;
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
  Generation(const model::Decoder& decoder, GenerateRequest request, CancelFlagPtr cancel);

  // Prefills some prompts or appends one token to each running row. Returns true when nothing is left to do.
  bool advance();

  GenerateResult take_result() { return std::move(result_); }

 private:
  struct RunningRow {
    int32_t number;  // in the request
    int64_t slot;    // of its first new token in the cache
    std::vector<kernels::KeyRange> ranges;
    int64_t position;           // of the next token in its text
    int64_t logit_row;          // of the latest logits, the next token's
    std::vector<int32_t> seen;  // its path's ids, kept for the repetition penalty only
    std::string tail;           // its latest bytes, kept for stop strings only
  };

  void prefill_pass();
  void decode_step();
  // Runs the newest tokens of the running rows [begin, end) and adds the tokens that follow to `choices`.
  void decode_rows(int64_t begin, int64_t end, std::vector<Choice>& choices);
  // Adds a token for each of `rows` to `choices`, from its row of the logits (., V).
  void choose(std::span<const RunningRow> rows, const float* logits, std::vector<Choice>& choices) const;
  // The same where the logits are: on a device too, if its sampler takes the settings.
  void choose(std::span<const RunningRow> rows, const at::Tensor& logits, std::vector<Choice>& choices) const;
  double uniform_of_next(const RunningRow& row) const;
  // Gives each of `rows` its token; drops the rows that end.
  void append_tokens(std::vector<RunningRow>& rows, const std::vector<Choice>& choices);
  bool ends_with_stop_string(RunningRow& row, int32_t token) const;

  const model::Decoder& decoder_;
  GenerateRequest request_;
  CancelFlagPtr cancel_;
  model::KvCache cache_;
  std::optional<model::RowDecoder> row_decoder_;  // where the decoder is one for it
  model::RowBatch step_;
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
