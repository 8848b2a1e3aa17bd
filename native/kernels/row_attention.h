// Attention of one query a text, as decoding asks for: what tree_attention_forward does with spans of length 1.
#pragma once

#include "kernels/tree_attention.h"

namespace magrpo::kernels {

// Rows that are worth taking together where they share keys: more would leave fewer parts for other threads.
constexpr int64_t kRowsTogether = 8;

// Floats of scratch memory for `kv_heads` KV heads of `rows` spans with contexts up to `context` keys.
int64_t row_attention_scratch(const AttentionShape& shape, int64_t rows, int64_t kv_heads, int64_t context);

// KV heads [kv_begin, kv_end) for the spans [begin, end), each of one query.
void row_attention(const AttentionShape& shape, const AttentionPointers& data, const QuerySpan* spans, const KeyRange* ranges,
                   int64_t begin, int64_t end, int64_t kv_begin, int64_t kv_end, float* scratch);

}  // namespace magrpo::kernels
