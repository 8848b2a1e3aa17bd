#include "model/packed_batch.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "core/device.h"
#include "core/device_cuda.h"

namespace magrpo::model {
namespace {

// The path of a segment, root first, without empty segments.
std::vector<int32_t> path_of(const core::TokenTree& tree, int32_t segment) {
  std::vector<int32_t> path;
  for (int32_t s = segment; s >= 0; s = tree.parent[s])
    if (tree.length(s) > 0) path.push_back(s);
  std::reverse(path.begin(), path.end());
  return path;
}

void extend_policy(std::vector<PolicyRange>& policies, int32_t policy, int64_t begin, int64_t end) {
  if (!policies.empty() && policies.back().policy == policy) policies.back().end = end;
  else policies.push_back({policy, begin, end});
}

}  // namespace

at::TensorOptions staging([[maybe_unused]] const at::Device& device) {
  bool pinned = false;
  if constexpr (core::kHasCuda) pinned = device.is_cuda() && core::cuda::pins_memory();
  return at::TensorOptions().pinned_memory(pinned);
}

std::shared_ptr<const DevicePass> upload(const PackedBatch& batch, const kernels::AttentionShape& shape, const at::Device& device) {
  auto pass = std::make_shared<DevicePass>();
  pass->plan = kernels::make_attention_plan(shape, batch.spans, batch.ranges, batch.slots.defined());
  const int64_t tokens = batch.tokens(), planned = static_cast<int64_t>(pass->plan.words.size());
  const int64_t columns = batch.slots.defined() ? 3 : 2;
  // libtorch keeps the memory of pinned tensors, and gives it out again when the copy from it is done.
  const at::Tensor staged = at::empty({columns * tokens + planned}, staging(device).dtype(at::kLong));
  int64_t* to = staged.mutable_data_ptr<int64_t>();
  for (const at::Tensor* column : {&batch.ids, &batch.positions, &batch.slots})
    if (column->defined()) to = std::copy_n(column->const_data_ptr<int64_t>(), tokens, to);
  std::copy(pass->plan.words.begin(), pass->plan.words.end(), to);
  pass->plan.words.clear();
  const at::Tensor here = staged.to(device, /*non_blocking=*/true);
  pass->memory = here;
  pass->ids = here.narrow(0, 0, tokens);
  pass->positions = here.narrow(0, tokens, tokens);
  if (batch.slots.defined()) pass->slots = here.narrow(0, 2 * tokens, tokens);
  pass->words = here.narrow(0, columns * tokens, planned);
  return pass;
}

std::vector<std::vector<int32_t>> segments_by_root(const core::TokenTree& tree) {
  const auto roots = tree.roots();
  std::vector<std::vector<int32_t>> by_segment(tree.parent.size());
  for (size_t s = 0; s < roots.size(); ++s) by_segment[roots[s]].push_back(static_cast<int32_t>(s));
  std::vector<std::vector<int32_t>> result;
  for (auto& segments : by_segment)
    if (!segments.empty()) result.push_back(std::move(segments));
  std::stable_sort(result.begin(), result.end(),
                   [&](const auto& a, const auto& b) { return tree.policy[a.front()] < tree.policy[b.front()]; });
  return result;
}

std::vector<int64_t> cut_into_passes(const core::TokenTree& tree, const std::vector<std::vector<int32_t>>& segments_of_root,
                                     int64_t max_tokens) {
  std::vector<int64_t> ends;
  int64_t in_pass = 0;
  for (size_t r = 0; r < segments_of_root.size(); ++r) {
    int64_t tokens = 0;
    for (const int32_t s : segments_of_root[r]) tokens += tree.length(s);
    if (in_pass > 0 && in_pass + tokens > max_tokens) {
      ends.push_back(static_cast<int64_t>(r));
      in_pass = 0;
    }
    in_pass += tokens;
  }
  ends.push_back(static_cast<int64_t>(segments_of_root.size()));
  return ends;
}

PackedBatch pack_roots(const core::TokenTree& tree, const std::vector<std::vector<int32_t>>& segments_of_root, int64_t begin, int64_t end,
                       KeyPlace place, std::vector<int64_t>& row_of_token) {
  const auto starts = tree.starts();
  int64_t tokens = 0;
  for (int64_t r = begin; r < end; ++r)
    for (const int32_t s : segments_of_root[r]) tokens += tree.length(s);

  PackedBatch batch;
  const auto int64s = at::TensorOptions().dtype(at::kLong);
  batch.ids = at::empty({tokens}, int64s);
  batch.positions = at::empty({tokens}, int64s);
  if (place == KeyPlace::kCache) batch.slots = at::empty({tokens}, int64s);
  int64_t* ids = batch.ids.mutable_data_ptr<int64_t>();
  int64_t* positions = batch.positions.mutable_data_ptr<int64_t>();
  int64_t* slots = place == KeyPlace::kCache ? batch.slots.mutable_data_ptr<int64_t>() : nullptr;

  int64_t row = 0;
  for (int64_t r = begin; r < end; ++r) {
    const int64_t group_begin = static_cast<int64_t>(batch.spans.size());
    for (const int32_t s : segments_of_root[r]) {
      const int64_t length = tree.length(s);
      if (length == 0) continue;
      for (int64_t i = 0; i < length; ++i) {
        const int64_t token = tree.offset[s] + i;
        row_of_token[token] = row + i;
        ids[row + i] = tree.ids[token];
        positions[row + i] = starts[s] + i;
        if (slots != nullptr) slots[row + i] = token;
      }
      kernels::QuerySpan span{row, length, starts[s], static_cast<int64_t>(batch.ranges.size()), 0};
      for (const int32_t ancestor : path_of(tree, s)) {
        const int64_t first_token = tree.offset[ancestor];
        const int64_t key_begin = place == KeyPlace::kCache ? first_token : row_of_token[first_token];
        batch.ranges.push_back({key_begin, tree.length(ancestor), starts[ancestor]});
      }
      span.range_end = static_cast<int64_t>(batch.ranges.size());
      batch.spans.push_back(span);
      extend_policy(batch.policies, tree.policy[s], row, row + length);
      row += length;
    }
    if (static_cast<int64_t>(batch.spans.size()) > group_begin)
      batch.groups.push_back({group_begin, static_cast<int64_t>(batch.spans.size())});
  }
  return batch;
}

}  // namespace magrpo::model
