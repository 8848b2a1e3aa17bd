// Sets of token ids as bytes: what a filter of the sampler kept, which travels with a sample to where it is scored.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace magrpo::core {

// Appends the set of `ids` (ascending, distinct, at least one) out of `vocab_size` tokens: whichever is shorter of the differences between
// ids and a bitmap. A set of all tokens takes one byte.
void append_token_set(std::vector<uint8_t>& bytes, std::span<const int32_t> ids, int64_t vocab_size);

// One set within a buffer that outlives it.
class TokenSet {
 public:
  // All tokens.
  TokenSet() = default;

  // The set that begins at `at`, which moves to the byte after it. Throws ERR_ARGUMENT where bytes end early or ids are out of range.
  TokenSet(std::span<const uint8_t> bytes, size_t& at, int64_t vocab_size);

  bool is_all() const { return kind_ == Kind::kAll; }
  bool contains(int32_t id) const;

  // Calls `use(id)` for each id in [begin, end), in ascending order. Not for the set of all tokens.
  template <typename Use>
  void for_ids(int32_t begin, int32_t end, Use&& use) const {
    if (kind_ == Kind::kBitmap) {
      for (int32_t id = begin; id < end; ++id)
        if ((bytes_[static_cast<size_t>(id) / 8] >> (id % 8) & 1) != 0) use(id);
      return;
    }
    size_t at = 0;
    for (int64_t id = -1; at < bytes_.size();) {
      id += static_cast<int64_t>(read_varint(bytes_, at)) + 1;
      if (id >= end) return;
      if (id >= begin) use(static_cast<int32_t>(id));
    }
  }

 private:
  enum class Kind { kAll, kBitmap, kDifferences };

  // Reads a number of 7 bits a byte, the lowest first. Throws ERR_ARGUMENT where the bytes end within it, or it has over 32 bits.
  static uint64_t read_varint(std::span<const uint8_t> bytes, size_t& at);

  Kind kind_ = Kind::kAll;
  std::span<const uint8_t> bytes_;
};

}  // namespace magrpo::core
