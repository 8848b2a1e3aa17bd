// Generation over a token tree: what rows get is what each would get alone.
#include "rollout/generate.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/parallel.h"
#include "test/allocation_count.h"
#include "test/harness.h"
#include "test/tiny_decoder.h"

namespace magrpo::rollout {
namespace {

// A prompt of 4 tokens with children of 2, 0 and, under the empty one, 3 tokens; a prompt of policy 0; a prompt of one token.
core::TokenTree prompts() {
  return {{-1, 0, 0, 2, -1, -1}, {0, 4, 6, 6, 9, 14, 15}, {3, 9, 1, 12, 20, 4, 8, 8, 2, 17, 0, 5, 11, 6, 22}, {1, 1, 1, 1, 0, -1}};
}

// Several rows per segment, of different lengths.
std::vector<Row> rows() {
  std::vector<Row> result;
  const std::vector<std::pair<int32_t, int32_t>> wanted{{1, 6}, {4, 1}, {3, 9}, {1, 3}, {5, 8}, {2, 5}, {0, 7}, {1, 6}};
  for (uint32_t i = 0; i < wanted.size(); ++i) result.push_back({wanted[i].first, wanted[i].second, {11, 0, 0, 5, i}});
  return result;
}

struct Setting {
  std::string architecture = "qwen3";
  std::shared_ptr<model::Decoder> decoder = test::tiny_decoder(test::tiny_config(architecture), 1);
  model::Adapter first = test::random_adapter(decoder->config(), 2, 0.7, {"q_proj", "v_proj", "up_proj"}, 50);
  model::Adapter second = test::random_adapter(decoder->config(), 3, 1.5, {"k_proj", "down_proj"}, 90);

  GenerateRequest request() const {
    GenerateRequest request;
    request.tree = prompts();
    request.adapters = {&first, &second};
    request.rows = rows();
    return request;
  }
};

GenerateResult run(const model::Decoder& decoder, GenerateRequest request) {
  at::NoGradGuard no_grad;
  Generation generation(decoder, std::move(request), std::make_shared<core::CancelFlag>());
  while (!generation.advance()) continue;
  return generation.take_result();
}

std::vector<int32_t> text_of(const core::TokenTree& tree, int32_t segment) {
  std::vector<int32_t> text;
  for (int32_t s = segment; s >= 0; s = tree.parent[s])
    text.insert(text.begin(), tree.ids.begin() + tree.offset[s], tree.ids.begin() + tree.offset[s + 1]);
  return text;
}

TEST("generate: prompts are computed once; log-probabilities are those of the whole text in float64") {
  for (const char* architecture : test::kArchitectures) {
    const Setting setting{architecture};
    const auto request = setting.request();
    const auto result = run(*setting.decoder, request);
    EXPECT(result.prefill_tokens == 15, "however many rows continue a prompt");
    const auto weights = test::in_double(setting.decoder->config(), setting.decoder->weights());
    const std::vector<model::Adapter> adapters{test::in_double(setting.first), test::in_double(setting.second)};
    at::NoGradGuard no_grad;
    for (size_t r = 0; r < result.rows.size(); ++r) {
      const auto& row = result.rows[r];
      EXPECT(static_cast<int32_t>(row.ids.size()) == request.rows[r].limit && !row.stopped, "row ", r);
      const int32_t policy = request.tree.policy[request.rows[r].segment];
      auto text = text_of(request.tree, request.rows[r].segment);
      const int64_t start = static_cast<int64_t>(text.size());
      text.insert(text.end(), row.ids.begin(), row.ids.end());
      const auto all = test::naive_log_probs(setting.decoder->config(), weights, policy < 0 ? nullptr : &adapters[policy], text);
      for (size_t i = 0; i < row.ids.size(); ++i) {
        const auto at = all[start + static_cast<int64_t>(i) - 1];
        EXPECT_NEAR(row.log_probs[i], at[row.ids[i]].item<double>(), 2e-5, "row ", r, " token ", i);
        EXPECT_NEAR(row.entropies[i], -(at.exp() * at).sum().item<double>(), 2e-5, "row ", r, " token ", i);
      }
    }
  }
}

TEST("generate: a row gets the same tokens alone as among others that leave before it") {
  const Setting setting;
  const auto together = run(*setting.decoder, setting.request());
  for (size_t r = 0; r < together.rows.size(); ++r) {
    auto request = setting.request();
    request.rows = {request.rows[r]};
    const auto alone = run(*setting.decoder, request).rows[0];
    EXPECT(alone.ids == together.rows[r].ids, "row ", r);
    for (size_t i = 0; i < alone.ids.size(); ++i) EXPECT_NEAR(alone.log_probs[i], together.rows[r].log_probs[i], 1e-5, "row ", r);
  }
  EXPECT(together.rows[0].ids != together.rows[7].ids, "samples of one prompt differ");
}

TEST("generate: greedy rows of one prompt agree, and each token is the most probable") {
  const Setting setting;
  auto request = setting.request();
  request.sampling.temperature = 0.0;
  const auto result = run(*setting.decoder, request);
  EXPECT(result.rows[0].ids == result.rows[7].ids);
  EXPECT(std::equal(result.rows[3].ids.begin(), result.rows[3].ids.end(), result.rows[0].ids.begin()));
}

TEST("generate: the repetition penalty sees the prompt and what was generated") {
  const Setting setting;
  auto request = setting.request();
  request.sampling.temperature = 0.0;
  // Whatever was seen is out of question, so that a row is a walk over tokens it has not met.
  request.sampling.repetition_penalty = 1e9;
  const auto result = run(*setting.decoder, request);
  const auto& ids = result.rows[2].ids;
  auto text = text_of(request.tree, request.rows[2].segment);
  for (const int32_t id : ids) {
    const bool positive_left = std::find(text.begin(), text.end(), id) == text.end();
    EXPECT(positive_left, "token ", id, " came again");
    text.push_back(id);
  }
}

TEST("generate: tokens that are read late are the same, wherever rows end") {
  const Setting setting;
  auto request = setting.request();
  request.sampling.stop_ids = {4, 8, 15};
  const auto expected = run(*setting.decoder, request);
  EXPECT(std::any_of(expected.rows.begin(), expected.rows.end(), [](const RowResult& row) { return row.stopped; }));
  EXPECT(std::any_of(expected.rows.begin(), expected.rows.end(), [](const RowResult& row) { return !row.stopped && row.ids.size() > 5; }));
  std::vector<int32_t> ended;
  int64_t tokens = 0;
  request.async_readback = true;
  request.on_row = [&](int32_t row, const RowResult&) { ended.push_back(row); };
  request.on_tokens = [&](const std::vector<int32_t>& rows, const std::vector<int32_t>&) { tokens += static_cast<int64_t>(rows.size()); };
  const auto late = run(*setting.decoder, request);
  int64_t expected_tokens = 0;
  for (size_t r = 0; r < expected.rows.size(); ++r) {
    expected_tokens += static_cast<int64_t>(expected.rows[r].ids.size());
    EXPECT(late.rows[r].ids == expected.rows[r].ids && late.rows[r].stopped == expected.rows[r].stopped, "row ", r);
    for (size_t i = 0; i < late.rows[r].ids.size(); ++i)
      EXPECT_NEAR(late.rows[r].log_probs[i], expected.rows[r].log_probs[i], 1e-5, "row ", r, " token ", i);
  }
  EXPECT(tokens == expected_tokens, "each token is told once");
  std::sort(ended.begin(), ended.end());
  for (size_t r = 0; r < expected.rows.size(); ++r) EXPECT(ended.size() == expected.rows.size() && ended[r] == static_cast<int32_t>(r));
}

// Draws a token on each thread, so that all have the memory that they keep for it.
void draw_on_all_threads(int threads, int64_t vocab, const Sampling& sampling) {
  const std::vector<float> logits(static_cast<size_t>(vocab), 0.0f);
  std::atomic<int> host = 0;
  core::parallel_for(threads, 1, [&](int64_t, int64_t) {
    ++host;
    while (host < threads) std::this_thread::yield();
    SamplerScratch scratch;
    choose_token(logits.data(), vocab, sampling, {}, 0.5, scratch);
  });
}

TEST("generate: a step of decoding allocates nothing") {
  const Setting setting;
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    // Filters have memory of their own, by thread, so that only the first of these can tell on two.
    for (const Sampling& sampling : {Sampling{}, Sampling{1.0, 12, 0.9, 0.01, 1.2, {}, {}}}) {
      if (sampling.filters() && threads > 1) continue;
      draw_on_all_threads(threads, setting.decoder->config().vocab_size, sampling);
      auto request = setting.request();
      request.sampling = sampling;
      for (Row& row : request.rows) row.limit += 60;
      Generation generation(*setting.decoder, std::move(request), std::make_shared<core::CancelFlag>());
      // The prompts, and the steps that make room.
      for (int step = 0; step < 8; ++step) generation.advance();
      const int64_t before = test::allocations();
      for (int step = 0; step < 50; ++step) generation.advance();
      const int64_t after = test::allocations();
      EXPECT(after == before, threads, " threads, filters ", sampling.filters(), ": ", after - before, " in 50 steps");
      EXPECT(generation.take_result().rows[0].ids.size() > 50);
    }
    at::set_num_threads(1);
  }
}

TEST("generate: a row ends with its first end token, which it keeps") {
  const Setting setting;
  const auto free = run(*setting.decoder, setting.request());
  auto request = setting.request();
  request.sampling.stop_ids = {22, free.rows[2].ids[4]};
  const auto stopped = run(*setting.decoder, request);
  for (size_t r = 0; r < free.rows.size(); ++r) {
    const auto& ids = free.rows[r].ids;
    const auto end = std::find_first_of(ids.begin(), ids.end(), request.sampling.stop_ids.begin(), request.sampling.stop_ids.end());
    const bool found = end != ids.end();
    EXPECT(stopped.rows[r].ids == std::vector<int32_t>(ids.begin(), found ? end + 1 : end), "row ", r);
    EXPECT(stopped.rows[r].stopped == found, "row ", r);
  }
  EXPECT(stopped.rows[2].stopped);
}

// Token i is the three characters "aA.", "bB.", ...
std::shared_ptr<const TokenBytes> token_bytes() {
  auto table = std::make_shared<TokenBytes>();
  table->offset = {0};
  for (char i = 0; i < 23; ++i) {
    table->bytes += {static_cast<char>('a' + i), static_cast<char>('A' + i), '.'};
    table->offset.push_back(static_cast<int32_t>(table->bytes.size()));
  }
  return table;
}

std::string bytes_of(const TokenBytes& table, const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) text += table.bytes.substr(static_cast<size_t>(table.offset[id]), 3);
  return text;
}

TEST("generate: a row ends where a stop string is complete, within a token or across several") {
  const Setting setting;
  const auto free = run(*setting.decoder, setting.request());
  const auto table = token_bytes();
  const std::string text = bytes_of(*table, free.rows[2].ids);  // 27 characters
  const std::vector<std::vector<std::string>> all{{text.substr(4, 1)},
                                                  {text.substr(4, 2)},
                                                  {text.substr(2, 5)},
                                                  {text.substr(5, 11)},
                                                  {text.substr(0, 27)},
                                                  {"nowhere", text.substr(7, 3)},
                                                  {text.substr(13, 4), text.substr(10, 9)},
                                                  {"."}};
  for (const auto& stops : all) {
    auto request = setting.request();
    request.token_bytes = table;
    request.sampling.stop_strings = stops;
    const auto result = run(*setting.decoder, request);
    for (size_t r = 0; r < free.rows.size(); ++r) {
      size_t kept = 0;
      bool found = false;
      while (kept < free.rows[r].ids.size() && !found) {
        ++kept;
        const auto first = free.rows[r].ids.begin();
        const std::string so_far = bytes_of(*table, {first, first + static_cast<int64_t>(kept)});
        for (const auto& stop : stops) found = found || so_far.find(stop) != std::string::npos;
      }
      EXPECT(result.rows[r].ids.size() == kept && result.rows[r].stopped == found, "row ", r, " stop ", stops.back());
    }
    EXPECT(result.rows[2].stopped);
  }
}

TEST("generate: tokens are announced as they come, and a cancelled generation stops") {
  const Setting setting;
  auto request = setting.request();
  std::vector<std::vector<int32_t>> announced(request.rows.size());
  request.on_tokens = [&](const std::vector<int32_t>& numbers, const std::vector<int32_t>& tokens) {
    for (size_t i = 0; i < numbers.size(); ++i) announced[numbers[i]].push_back(tokens[i]);
  };
  const auto result = run(*setting.decoder, request);
  for (size_t r = 0; r < announced.size(); ++r) EXPECT(announced[r] == result.rows[r].ids, "row ", r);

  at::NoGradGuard no_grad;
  const auto cancel = std::make_shared<core::CancelFlag>();
  Generation generation(*setting.decoder, setting.request(), cancel);
  EXPECT(!generation.advance());
  cancel->cancel();
  EXPECT_THROWS("ERR_CANCELLED", generation.advance());
}

TEST("generate: requests that do not fit are refused") {
  const Setting setting;
  const auto broken = [&](auto change) {
    GenerateRequest request = setting.request();
    change(request);
    return request;
  };
  using Request = GenerateRequest;
  EXPECT_THROWS("ERR_ARGUMENT", run(*setting.decoder, broken([](Request& r) { r.rows[0].segment = 6; })));
  EXPECT_THROWS("ERR_ARGUMENT", run(*setting.decoder, broken([](Request& r) { r.rows[0].segment = -1; })));
  EXPECT_THROWS("ERR_ARGUMENT", run(*setting.decoder, broken([](Request& r) { r.rows[0].limit = 0; })));
  EXPECT_THROWS("ERR_ARGUMENT", run(*setting.decoder, broken([](Request& r) { r.sampling.top_p = 0.0; })));
  EXPECT_THROWS("ERR_ARGUMENT", run(*setting.decoder, broken([](Request& r) { r.sampling.stop_strings = {"x"}; })));
  EXPECT_THROWS("ERR_ARGUMENT", run(*setting.decoder, broken([](Request& r) {
                  r.token_bytes = token_bytes();
                  r.sampling.stop_strings = {""};
                })));
  EXPECT_THROWS("ERR_ARGUMENT", run(*setting.decoder, broken([](Request& r) { r.adapters.pop_back(); })));
  const auto none = run(*setting.decoder, broken([](Request& r) { r.rows.clear(); }));
  EXPECT(none.rows.empty());
}

}  // namespace
}  // namespace magrpo::rollout
