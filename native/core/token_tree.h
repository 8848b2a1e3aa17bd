// The token tree: the one input of generation, log-probs and gradients, and its checks.
#pragma once

#include <cstdint>
#include <vector>

namespace magrpo::core {

// Segment s holds tokens ids[offset[s] .. offset[s+1]) and continues segment parent[s] (-1: a root). Parents come before
// children. A path from a root to a segment is one text; sharing a prompt means sharing a segment.
struct TokenTree {
  std::vector<int32_t> parent;  // (S)
  std::vector<int32_t> offset;  // (S + 1)
  std::vector<int32_t> ids;     // (N)
  std::vector<int32_t> policy;  // (S) index into the call's policies, -1: the bare base; equal along a path

  int64_t segments() const { return static_cast<int64_t>(parent.size()); }
  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
  int64_t length(int64_t segment) const { return offset[segment + 1] - offset[segment]; }

  // Throws ERR_ARGUMENT, ERR_TOKEN_RANGE, ERR_EMPTY_PROMPT where the tree is not well-formed.
  void check(int64_t vocab_size, int64_t policies) const;

  // (S) position of each segment's first token in its text.
  std::vector<int64_t> starts() const;

  // Ids of the whole text up to and including `segment`.
  std::vector<int32_t> path(int32_t segment) const;

  // (S) the root of each segment.
  std::vector<int32_t> roots() const;
};

}  // namespace magrpo::core
