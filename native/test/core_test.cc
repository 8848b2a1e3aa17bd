// Random numbers, the token tree and its packing into passes, devices.
#include <array>
#include <set>

#include "core/cancel.h"
#include "core/device.h"
#include "core/random.h"
#include "core/token_set.h"
#include "core/token_tree.h"
#include "model/packed_batch.h"
#include "test/harness.h"

namespace magrpo::core {
namespace {

using Four = std::array<uint32_t, 4>;

TEST("philox: gives the published values of Random123") {
  constexpr uint32_t ones = 0xffffffff;
  EXPECT((philox({0, 0, 0, 0}, {0, 0}) == Four{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT((philox({ones, ones, ones, ones}, {ones, ones}) == Four{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT((philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
          Four{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST("random: uniforms lie in [0, 1), are spread evenly and differ by every part of the stream") {
  const RandomStream stream{1, 2, 3, 4, 5};
  constexpr int count = 20000;
  std::array<int, 10> bins{};
  double sum = 0.0, products = 0.0;
  for (int i = 0; i < count; ++i) {
    const double u = stream.uniform(static_cast<uint32_t>(i));
    EXPECT(u >= 0.0 && u < 1.0, i);
    ++bins[static_cast<size_t>(u * 10)];
    sum += u;
    products += (u - 0.5) * (stream.uniform(static_cast<uint32_t>(i + 1)) - 0.5);
  }
  // Five standard deviations each.
  EXPECT_NEAR(sum / count, 0.5, 5 * std::sqrt(1.0 / 12 / count));
  EXPECT_NEAR(products / count, 0.0, 5 * (1.0 / 12) / std::sqrt(count));
  for (const int bin : bins) EXPECT_NEAR(bin, count / 10, 5 * std::sqrt(count * 0.09));

  std::set<double> different{stream.uniform(0), stream.uniform(1)};
  for (const auto& other : {RandomStream{9, 2, 3, 4, 5}, RandomStream{1, 9, 3, 4, 5}, RandomStream{1, 2, 9, 4, 5},
                            RandomStream{1, 2, 3, 9, 5}, RandomStream{1, 2, 3, 4, 9}})
    different.insert(other.uniform(0));
  EXPECT(different.size() == 7);
}

TEST("token set: sets of any size and density come back, one after the other, each in at most a bitmap's bytes") {
  const RandomStream stream{3, 1, 4, 1, 5};
  uint32_t draws = 0;
  for (const int32_t vocab : {1, 7, 300, 40000}) {
    std::vector<std::vector<int32_t>> sets{{0}, {vocab - 1}};
    for (const double share : {0.001, 0.05, 0.4, 1.0}) {
      std::vector<int32_t> ids;
      for (int32_t id = 0; id < vocab; ++id)
        if (stream.uniform(draws++) < share) ids.push_back(id);
      if (!ids.empty()) sets.push_back(ids);
    }
    std::vector<uint8_t> bytes;
    for (const auto& ids : sets) {
      const size_t before = bytes.size();
      append_token_set(bytes, ids, vocab);
      EXPECT(bytes.size() - before <= static_cast<size_t>(1 + (vocab + 7) / 8), vocab, ", ", ids.size());
    }
    size_t at = 0;
    for (const auto& ids : sets) {
      const TokenSet set(bytes, at, vocab);
      EXPECT(set.is_all() == (static_cast<int32_t>(ids.size()) == vocab), vocab);
      std::vector<int32_t> seen;
      for (int32_t id = 0; id < vocab; ++id)
        if (set.contains(id) && (vocab < 1000 || id % 97 == 0)) seen.push_back(id);
      std::vector<int32_t> expected;
      for (const int32_t id : ids)
        if (vocab < 1000 || id % 97 == 0) expected.push_back(id);
      EXPECT(seen == expected, vocab, ", ", ids.size());
    }
    EXPECT(at == bytes.size(), vocab);
  }
}

TEST("token set: bytes that end early, ids beyond the vocabulary and endless numbers are refused") {
  const auto read = [](std::vector<uint8_t> bytes, int64_t vocab) {
    size_t at = 0;
    TokenSet set(bytes, at, vocab);
  };
  EXPECT_THROWS("ERR_ARGUMENT", read({}, 10));
  EXPECT_THROWS("ERR_ARGUMENT", read({1, 255}, 10));
  EXPECT_THROWS("ERR_ARGUMENT", read({3, 1}, 10));
  EXPECT_THROWS("ERR_ARGUMENT", read({2, 10}, 10));
  EXPECT_THROWS("ERR_ARGUMENT", read({3, 5, 4}, 10));
  EXPECT_THROWS("ERR_ARGUMENT", read({255, 255, 255, 255, 255, 255, 255, 1}, 10));
}

TEST("cancel: a flag throws once it is set") {
  CancelFlag flag;
  flag.check();
  flag.cancel();
  EXPECT_THROWS("ERR_CANCELLED", flag.check());
}

TEST("device: the processor can always be had, an unknown name never") {
  EXPECT(resolve_device("cpu").is_cpu());
  EXPECT_THROWS("ERR_DEVICE", resolve_device("tpu"));
  if (!cuda_unavailable_reason().empty()) EXPECT_THROWS("ERR_DEVICE", resolve_device("cuda:0"));
}

// Two roots of policies 1 and 0. Under the first: a child of two tokens, an empty child with a grandchild, an empty leaf.
TokenTree small_tree() {
  return {/*parent=*/{-1, 0, -1, 0, 3, 2, 0},
          /*offset=*/{0, 3, 5, 6, 6, 8, 11, 11},
          /*ids=*/{5, 6, 7, 1, 2, 9, 3, 4, 8, 0, 1},
          /*policy=*/{1, 1, 0, 1, 1, 0, 1}};
}

TEST("token tree: positions and roots follow the paths") {
  const TokenTree tree = small_tree();
  tree.check(10, 2);
  EXPECT((tree.starts() == std::vector<int64_t>{0, 3, 0, 3, 3, 1, 3}));
  EXPECT((tree.roots() == std::vector<int32_t>{0, 0, 2, 0, 0, 2, 0}));
}

TEST("token tree: what is not well-formed is refused by its code") {
  const auto broken = [](auto change) {
    TokenTree tree = small_tree();
    change(tree);
    return tree;
  };
  using Tree = TokenTree;
  EXPECT_THROWS("ERR_ARGUMENT", Tree{}.check(10, 2));
  EXPECT_THROWS("ERR_ARGUMENT", broken([](Tree& t) { t.offset.pop_back(); }).check(10, 2));
  EXPECT_THROWS("ERR_ARGUMENT", broken([](Tree& t) { t.policy.pop_back(); }).check(10, 2));
  EXPECT_THROWS("ERR_ARGUMENT", broken([](Tree& t) { t.offset.front() = 1; }).check(10, 2));
  EXPECT_THROWS("ERR_ARGUMENT", broken([](Tree& t) { t.ids.pop_back(); }).check(10, 2));
  EXPECT_THROWS("ERR_ARGUMENT", broken([](Tree& t) { t.offset[2] = 2; }).check(10, 2));
  EXPECT_THROWS("ERR_ARGUMENT", broken([](Tree& t) { t.offset[1] = -4; }).check(10, 2));
  EXPECT_THROWS("ERR_ARGUMENT", broken([](Tree& t) { t.parent[1] = 1; }).check(10, 2));
  EXPECT_THROWS("ERR_ARGUMENT", broken([](Tree& t) { t.parent[1] = -2; }).check(10, 2));
  EXPECT_THROWS("ERR_ARGUMENT", broken([](Tree& t) { t.policy[6] = 0; }).check(10, 2));
  EXPECT_THROWS("ERR_ARGUMENT", small_tree().check(10, 1));
  EXPECT_THROWS("ERR_ARGUMENT", broken([](Tree& t) { t.policy[2] = t.policy[5] = -2; }).check(10, 2));
  EXPECT_THROWS("ERR_EMPTY_PROMPT", broken([](Tree& t) { t.parent[3] = t.parent[6] = -1; }).check(10, 2));
  EXPECT_THROWS("ERR_TOKEN_RANGE", small_tree().check(9, 2));
  EXPECT_THROWS("ERR_TOKEN_RANGE", broken([](Tree& t) { t.ids[4] = -1; }).check(10, 2));
}

std::vector<int64_t> values(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<int64_t>(), tensor.const_data_ptr<int64_t>() + tensor.numel()};
}

TEST("passes: roots are sorted by policy and cut between roots only") {
  const TokenTree tree = small_tree();
  const auto roots = model::segments_by_root(tree);
  EXPECT((roots == std::vector<std::vector<int32_t>>{{2, 5}, {0, 1, 3, 4, 6}}));
  EXPECT((model::cut_into_passes(tree, roots, 11) == std::vector<int64_t>{2}));
  EXPECT((model::cut_into_passes(tree, roots, 10) == std::vector<int64_t>{1, 2}));
  EXPECT((model::cut_into_passes(tree, roots, 1) == std::vector<int64_t>{1, 2}), "a root larger than a pass is one by itself");
}

TEST("passes: segments are packed side by side, keys are the ranges of their paths") {
  const TokenTree tree = small_tree();
  const auto roots = model::segments_by_root(tree);
  std::vector<int64_t> row_of_token(11, -1);
  const auto batch = model::pack_roots(tree, roots, 0, 2, model::KeyPlace::kPass, row_of_token);
  EXPECT((values(batch.ids) == std::vector<int64_t>{9, 8, 0, 1, 5, 6, 7, 1, 2, 3, 4}));
  EXPECT((values(batch.positions) == std::vector<int64_t>{0, 1, 2, 3, 0, 1, 2, 3, 4, 3, 4}));
  EXPECT((row_of_token == std::vector<int64_t>{4, 5, 6, 7, 8, 0, 9, 10, 1, 2, 3}));
  EXPECT(!batch.slots.defined());
  EXPECT(batch.policies.size() == 2 && batch.policies[0].policy == 0 && batch.policies[0].end == 4 && batch.policies[1].policy == 1 &&
         batch.policies[1].begin == 4 && batch.policies[1].end == 11);

  struct Span {
    int64_t begin, length, position;
    std::vector<std::array<int64_t, 3>> keys;  // begin, length, position
  };
  const std::vector<Span> expected{{0, 1, 0, {{0, 1, 0}}},
                                   {1, 3, 1, {{0, 1, 0}, {1, 3, 1}}},
                                   {4, 3, 0, {{4, 3, 0}}},
                                   {7, 2, 3, {{4, 3, 0}, {7, 2, 3}}},
                                   {9, 2, 3, {{4, 3, 0}, {9, 2, 3}}}};
  EXPECT(batch.spans.size() == expected.size(), "empty segments have no span");
  for (size_t s = 0; s < batch.spans.size() && s < expected.size(); ++s) {
    const auto& span = batch.spans[s];
    EXPECT(span.begin == expected[s].begin && span.length == expected[s].length && span.position == expected[s].position, s);
    std::vector<std::array<int64_t, 3>> keys;
    for (int64_t r = span.range_begin; r < span.range_end; ++r)
      keys.push_back({batch.ranges[r].begin, batch.ranges[r].length, batch.ranges[r].position});
    EXPECT(keys == expected[s].keys, "span ", s);
  }
  EXPECT(batch.groups.size() == 2 && batch.groups[0].begin == 0 && batch.groups[0].end == 2 && batch.groups[1].begin == 2 &&
         batch.groups[1].end == 5);
}

TEST("passes: a pass of the cache keeps keys at the tree's token offsets") {
  const TokenTree tree = small_tree();
  const auto roots = model::segments_by_root(tree);
  std::vector<int64_t> row_of_token(11, -1);
  const auto batch = model::pack_roots(tree, roots, 1, 2, model::KeyPlace::kCache, row_of_token);
  EXPECT((values(batch.ids) == std::vector<int64_t>{5, 6, 7, 1, 2, 3, 4}));
  EXPECT((values(batch.slots) == std::vector<int64_t>{0, 1, 2, 3, 4, 6, 7}));
  EXPECT((row_of_token == std::vector<int64_t>{0, 1, 2, 3, 4, -1, 5, 6, -1, -1, -1}));
  EXPECT(batch.spans.size() == 3 && batch.spans[2].range_end - batch.spans[2].range_begin == 2);
  const auto& own = batch.ranges.back();
  EXPECT(own.begin == 6 && own.length == 2 && own.position == 3);
}

}  // namespace
}  // namespace magrpo::core
