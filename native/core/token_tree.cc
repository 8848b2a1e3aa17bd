#include "core/token_tree.h"

#include "core/errors.h"

namespace magrpo::core {

void TokenTree::check(int64_t vocab_size, int64_t policies) const {
  const size_t count = parent.size();
  check_argument(count > 0, "Expected at least one segment in the token tree but received none.");
  check_argument(offset.size() == count + 1 && policy.size() == count, "Expected ", count + 1, " offsets and ", count,
                 " policy indices for ", count, " segments but received ", offset.size(), " and ", policy.size(), ".");
  check_argument(offset.front() == 0 && offset.back() == static_cast<int64_t>(ids.size()), "Expected offsets from 0 to ", ids.size(),
                 " but received ", offset.front(), " to ", offset.back(), ".");
  for (size_t s = 0; s < count; ++s) {
    check_argument(offset[s] <= offset[s + 1], "Expected rising offsets but segment ", s, " ends before it begins.");
    check_argument(parent[s] >= -1 && parent[s] < static_cast<int64_t>(s), "Expected the parent of segment ", s,
                   " to come before it but received ", parent[s], ".");
    check_argument(policy[s] >= -1 && policy[s] < policies, "Expected a policy index from -1 to ", policies - 1, " for segment ", s,
                   " but received ", policy[s], ".");
    core::check(parent[s] >= 0 || offset[s] < offset[s + 1], "ERR_EMPTY_PROMPT", "Expected at least one token in root segment ", s,
                " but it is empty.");
    check_argument(parent[s] < 0 || policy[parent[s]] == policy[s], "Expected segment ", s, " to have the policy of its parent.");
  }
  for (size_t i = 0; i < ids.size(); ++i)
    core::check(ids[i] >= 0 && ids[i] < vocab_size, "ERR_TOKEN_RANGE", "Expected token ids from 0 to ", vocab_size - 1, " but received ",
                ids[i], " at position ", i, " of the batch.");
}

std::vector<int64_t> TokenTree::starts() const {
  std::vector<int64_t> result(parent.size(), 0);
  for (size_t s = 0; s < parent.size(); ++s)
    if (parent[s] >= 0) result[s] = result[parent[s]] + length(parent[s]);
  return result;
}

std::vector<int32_t> TokenTree::path(int32_t segment) const {
  std::vector<int32_t> reversed;
  for (int32_t s = segment; s >= 0; s = parent[s])
    for (int64_t i = offset[s + 1] - 1; i >= offset[s]; --i) reversed.push_back(ids[i]);
  return {reversed.rbegin(), reversed.rend()};
}

std::vector<int32_t> TokenTree::roots() const {
  std::vector<int32_t> result(parent.size());
  for (size_t s = 0; s < parent.size(); ++s) result[s] = parent[s] < 0 ? static_cast<int32_t>(s) : result[parent[s]];
  return result;
}

}  // namespace magrpo::core
