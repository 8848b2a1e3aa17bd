#include "core/token_set.h"

#include "core/errors.h"

namespace magrpo::core {
namespace {

// What a set begins with: kAll, kBitmap, or kFirstCount - 1 plus the number of ids.
constexpr uint64_t kAll = 0, kBitmap = 1, kFirstCount = 2;

void append_varint(std::vector<uint8_t>& bytes, uint64_t value) {
  for (; value >= 128; value >>= 7) bytes.push_back(static_cast<uint8_t>(value | 128));
  bytes.push_back(static_cast<uint8_t>(value));
}

size_t bitmap_bytes(int64_t vocab_size) { return static_cast<size_t>(vocab_size + 7) / 8; }

}  // namespace

void append_token_set(std::vector<uint8_t>& bytes, std::span<const int32_t> ids, int64_t vocab_size) {
  const auto count = static_cast<int64_t>(ids.size());
  if (count == vocab_size) return append_varint(bytes, kAll);
  const size_t begin = bytes.size(), longest = 1 + bitmap_bytes(vocab_size);
  append_varint(bytes, kFirstCount - 1 + static_cast<uint64_t>(count));
  int32_t before = -1;
  for (const int32_t id : ids) {
    append_varint(bytes, static_cast<uint64_t>(id - before - 1));
    before = id;
    if (bytes.size() - begin > longest) break;
  }
  if (bytes.size() - begin <= longest) return;
  bytes.resize(begin);
  append_varint(bytes, kBitmap);
  bytes.resize(begin + longest, 0);
  for (const int32_t id : ids) bytes[begin + 1 + static_cast<size_t>(id) / 8] |= static_cast<uint8_t>(1 << (id % 8));
}

TokenSet::TokenSet(std::span<const uint8_t> bytes, size_t& at, int64_t vocab_size) {
  const uint64_t head = read_varint(bytes, at);
  const size_t begin = at;
  if (head == kAll) return;
  if (head == kBitmap) {
    kind_ = Kind::kBitmap;
    at += bitmap_bytes(vocab_size);
    check_argument(at <= bytes.size(), "Expected a bitmap of ", bitmap_bytes(vocab_size), " bytes in a set of tokens but received ",
                   bytes.size() - begin, ".");
  } else {
    kind_ = Kind::kDifferences;
    int64_t id = -1;
    for (uint64_t i = kFirstCount - 1; i < head; ++i) id += static_cast<int64_t>(read_varint(bytes, at)) + 1;
    check_argument(id < vocab_size, "Expected token ids below ", vocab_size, " in a set of tokens but received ", id, ".");
  }
  bytes_ = bytes.subspan(begin, at - begin);
}

bool TokenSet::contains(int32_t id) const {
  bool found = is_all();
  if (!found) for_ids(id, id + 1, [&](int32_t) { found = true; });
  return found;
}

uint64_t TokenSet::read_varint(std::span<const uint8_t> bytes, size_t& at) {
  uint64_t value = 0;
  for (int shift = 0; shift < 35; shift += 7) {
    check_argument(at < bytes.size(), "Expected a whole set of tokens but its bytes end early.");
    const uint8_t byte = bytes[at++];
    value |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) return value;
  }
  check_argument(false, "Expected numbers of at most 32 bits in a set of tokens.");
  return 0;
}

}  // namespace magrpo::core
