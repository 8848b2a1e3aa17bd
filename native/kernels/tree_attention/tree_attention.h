// Attention over a token tree: each span of queries sees the key ranges of its path, without padding. Takes raw pointers and sizes and
// includes no torch header. reference.h holds the same in plain libtorch operations.
#pragma once

#include <cstdint>

namespace magrpo::kernels {

// `length` keys in consecutive slots from `begin`; the first is at `position` of its text.
struct KeyRange {
  int64_t begin;
  int64_t length;
  int64_t position;
};

// `length` consecutive queries from row `begin`, the first at `position`; they see ranges [range_begin, range_end), causally.
// The ranges are the query's path from its root: their positions follow one another from 0.
struct QuerySpan {
  int64_t begin;
  int64_t length;
  int64_t position;
  int64_t range_begin;
  int64_t range_end;
};

// Spans [begin, end) that share keys, for the backward pass: two groups never touch the same key.
struct SpanGroup {
  int64_t begin;
  int64_t end;
};

struct AttentionShape {
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
  int64_t window;  // a query sees keys less than `window` positions back; 0: all
  float scale;
  int64_t q_stride;  // in floats, from token to token; likewise k and v
  int64_t k_stride;
  int64_t v_stride;
};

// Row-major float32. q, out, d_out: (N, H, D); k, v: (slots, K, D); lse: (N, H).
struct AttentionPointers {
  const float* q;
  const float* k;
  const float* v;
  float* out;  // (N, H, D) contiguous
  float* lse;  // (N, H) contiguous, may be null in the forward pass
};

struct AttentionGradients {
  const float* d_out;  // (N, H, D) contiguous
  float* d_q;          // (N, H, D) contiguous
  float* d_k;          // (slots, K, D) contiguous, zeroed by the caller
  float* d_v;
};

// The longest context of the spans, in keys.
int64_t longest_context(const QuerySpan* spans, int64_t span_count);

// Floats of scratch memory per call, for contexts of up to `context` keys.
int64_t forward_scratch(const AttentionShape& shape, int64_t context);
int64_t backward_scratch(const AttentionShape& shape, int64_t context);

// Forward of KV head `kv_head` for spans [begin, end).
void tree_attention_forward(const AttentionShape& shape, const AttentionPointers& data, const QuerySpan* spans, const KeyRange* ranges,
                            int64_t begin, int64_t end, int64_t kv_head, float* scratch);

// Decoding has one query per text. The CPU has a kernel of its own for it; the CUDA kernel covers both cases.
// Maximum number of rows per call where rows share keys: more would leave too little work for other threads.
constexpr int64_t kMaxSharedRows = 8;

// Floats of scratch memory for `kv_heads` KV heads of `rows` spans with contexts up to `context` keys.
int64_t rows_scratch(const AttentionShape& shape, int64_t rows, int64_t kv_heads, int64_t context);

// Forward of KV heads [kv_begin, kv_end) for spans [begin, end), each of one query.
void tree_attention_rows(const AttentionShape& shape, const AttentionPointers& data, const QuerySpan* spans, const KeyRange* ranges,
                         int64_t begin, int64_t end, int64_t kv_begin, int64_t kv_end, float* scratch);

// Backward of KV head `kv_head` for spans [begin, end), which must be whole groups.
void tree_attention_backward(const AttentionShape& shape, const AttentionPointers& data, const AttentionGradients& gradients,
                             const QuerySpan* spans, const KeyRange* ranges, int64_t begin, int64_t end, int64_t kv_head, float* scratch);

}  // namespace magrpo::kernels
