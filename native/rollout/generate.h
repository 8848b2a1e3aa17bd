// Batched generation over a token tree: one prefill per distinct prompt, then one token per step for all running rows.
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
  int32_t limit;    // maximum number of new tokens
  core::RandomStream stream;
};

struct RowResult {
  std::vector<int32_t> ids;      // the end token included
  // One per id, of the distribution that was drawn from; see Choice.
  std::vector<float> log_probs, entropies;
  // The same at temperature 1 over the full vocabulary; empty where the two do not differ.
  std::vector<float> model_log_probs, model_entropies;
  std::vector<uint8_t> kept;  // by core::append_token_set, one set per id; empty without filters
  bool stopped = false;  // by a stop id or stop string; false: by the limit
};

struct GenerateRequest {
  core::TokenTree tree;
  std::vector<const model::Adapter*> adapters;  // one per policy, nullptr for full weights
  std::vector<Row> rows;
  Sampling sampling;
  // Makes the shape of every product independent of the rest of the batch: one prompt per pass, at most kRowProductRows rows.
  bool deterministic = false;
  // Queues the next step before the tokens of this one have reached the host, so that a device never waits; finished rows stay for one
  // more step. Set on CUDA devices by MAGRPO_CUDA_PINNED=1; ignored where the host chooses the tokens, and with `deterministic`.
  bool async_readback = false;
  std::shared_ptr<const TokenBytes> token_bytes;  // for stop strings only
  // Called after each token step with the rows' numbers and their new tokens.
  std::function<void(const std::vector<int32_t>&, const std::vector<int32_t>&)> on_tokens;
  // Called for each finished row, by number, after its last step.
  std::function<void(int32_t, const RowResult&)> on_row;
};

struct GenerateResult {
  std::vector<RowResult> rows;
  int64_t prefill_tokens = 0;
  double prefill_seconds = 0.0;
  double decode_seconds = 0.0;
};

// Maximum number of prompt tokens per prefill pass, after which other jobs get a slice.
inline constexpr int64_t kPrefillTokens = 4096;

// A generation in progress, advanced slice by slice so that other jobs may run between. Call on the executor thread only.
class Generation {
 public:
  Generation(const model::Decoder& decoder, GenerateRequest request, core::CancelFlagPtr cancel);

  // Prefills some prompts or appends one token to each running row. Returns true when all rows are finished.
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
    std::vector<int32_t> seen;  // its path's ids, for the repetition penalty only
    std::string tail;           // its latest bytes, for stop strings only
  };

  // A queued step whose tokens have not been read back.
  struct PendingStep {
    std::vector<int32_t> numbers;  // of its rows
    DrawnTokens tokens;
  };

  void prefill_pass();
  void decode_step();
  // A decoding step with async_readback.
  void decode_step_async();
  // Fills `step_` with the newest tokens of `rows`.
  void build_step(std::span<RunningRow> rows);
  // Appends a token per row to `choices_`, chosen from its row of the logits (., V).
  void choose(std::span<RunningRow> rows, const float* logits);
  // The same for logits on any device; chooses there if the settings support it.
  void choose(std::span<RunningRow> rows, const at::Tensor& logits);
  // Queues the choice on the logits' device; they have one row per entry of `rows`.
  DrawnTokens draw(std::span<RunningRow> rows, const at::Tensor& logits);
  double next_uniform(const RunningRow& row) const { return request_.rows[row.number].stream.uniform(row.drawn); }
  // Copies a pending step's tokens to the ids of `batch`, for the running rows.
  void copy_ids(const PendingStep& step, const model::PackedBatch& batch) const;
  // Reads a pending step's tokens back and appends them to the running rows.
  void read(const PendingStep& step);
  // Appends to each row its token of `choices_`; removes finished rows.
  void append_tokens(std::vector<RunningRow>& rows);
  bool ends_with_stop_string(RunningRow& row, int32_t token) const;

  const model::Decoder& decoder_;
  GenerateRequest request_;
  core::CancelFlagPtr cancel_;
  model::KvCache cache_;
  std::optional<model::RowDecoder> row_decoder_;  // if it supports the decoder
  model::RowBatch step_;
  std::vector<Choice> choices_;  // of the latest step's rows
  std::vector<int32_t> row_numbers_, new_tokens_;
  std::vector<double> uniforms_;
  std::optional<PendingStep> pending_;
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
