#include "kernels/tree_attention/plan.h"

#include <algorithm>
#include <cstring>
#include <map>

namespace magrpo::kernels {
namespace {

template <typename Record>
int64_t append(std::vector<int64_t>& words, const std::vector<Record>& records) {
  static_assert(sizeof(Record) % sizeof(int64_t) == 0);
  const size_t at = words.size();
  words.resize(at + records.size() * sizeof(Record) / sizeof(int64_t));
  if (!records.empty()) std::memcpy(words.data() + at, records.data(), records.size() * sizeof(Record));
  return static_cast<int64_t>(records.size());
}

template <typename Record>
const Record* take(const int64_t*& at, int64_t count) {
  const auto* records = reinterpret_cast<const Record*>(at);
  at += count * static_cast<int64_t>(sizeof(Record) / sizeof(int64_t));
  return records;
}

// Every distinct range in tiles of keys, with the spans whose path holds it.
void add_key_tiles(const AttentionShape& shape, const std::vector<QuerySpan>& spans, const std::vector<KeyRange>& ranges,
                   std::vector<KeyTile>& tiles, std::vector<int64_t>& viewers) {
  struct Viewed {
    KeyRange range;
    std::vector<int64_t> spans;
  };
  std::map<int64_t, Viewed> by_begin;
  for (size_t s = 0; s < spans.size(); ++s)
    for (int64_t r = spans[s].range_begin; r < spans[s].range_end; ++r) {
      Viewed& viewed = by_begin[ranges[r].begin];
      viewed.range = ranges[r];
      viewed.spans.push_back(static_cast<int64_t>(s));
    }
  const int64_t keys = keys_per_block(shape.head_dim);
  for (const auto& [begin, viewed] : by_begin) {
    const int64_t first = static_cast<int64_t>(viewers.size());
    viewers.insert(viewers.end(), viewed.spans.begin(), viewed.spans.end());
    for (int64_t at = 0; at < viewed.range.length; at += keys)
      tiles.push_back(
          {begin + at, std::min(keys, viewed.range.length - at), viewed.range.position + at, first, static_cast<int64_t>(viewers.size())});
  }
}

}  // namespace

AttentionPlanView AttentionPlan::view(const int64_t* base) const {
  AttentionPlanView view{};
  view.spans = take<QuerySpan>(base, spans);
  view.ranges = take<KeyRange>(base, ranges);
  view.tasks = take<AttentionTask>(base, tasks);
  view.merges = take<AttentionMerge>(base, merges);
  view.key_tiles = take<KeyTile>(base, key_tiles);
  view.viewers = base;
  view.task_count = tasks;
  view.merge_count = merges;
  view.key_tile_count = key_tiles;
  view.partial_floats = partial_floats;
  return view;
}

AttentionPlan make_attention_plan(const AttentionShape& shape, const std::vector<QuerySpan>& spans, const std::vector<KeyRange>& ranges,
                                  bool decodes) {
  const int64_t fold = shape.heads / shape.kv_heads, block = items_per_block(shape.head_dim);
  std::vector<AttentionTask> tasks;
  std::vector<AttentionMerge> merges;
  std::vector<KeyTile> key_tiles;
  std::vector<int64_t> viewers;
  int64_t part = 0;
  for (size_t s = 0; s < spans.size(); ++s) {
    const int64_t number = static_cast<int64_t>(s), items = spans[s].length * fold;
    const int64_t context = spans[s].position + spans[s].length;
    const int64_t parts = decodes && spans[s].length == 1 ? (context + kSplitKeys - 1) / kSplitKeys : 1;
    if (parts > 1) merges.push_back({number, part, parts});
    for (int64_t item = 0; item < items; item += block)
      for (int64_t p = 0; p < parts; ++p)
        tasks.push_back(
            {number, item, p * kSplitKeys, parts == 1 ? context : std::min(context, (p + 1) * kSplitKeys), parts == 1 ? -1 : part++});
  }
  if (!decodes) add_key_tiles(shape, spans, ranges, key_tiles, viewers);

  AttentionPlan plan;
  plan.spans = append(plan.words, spans);
  plan.ranges = append(plan.words, ranges);
  plan.tasks = append(plan.words, tasks);
  plan.merges = append(plan.words, merges);
  plan.key_tiles = append(plan.words, key_tiles);
  append(plan.words, viewers);
  plan.partial_floats = part * shape.kv_heads * block * (shape.head_dim + 2);
  return plan;
}

}  // namespace magrpo::kernels
