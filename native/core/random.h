// Counter-based random numbers: each is a pure function of a key and a counter, so a sampled token does not depend on
// batch order, compaction, chunking or the number of devices. Philox4x32-10 (Salmon et al., SC 2011).
#pragma once

#include <array>
#include <cstdint>

namespace magrpo::core {

// Ten Philox rounds on `counter` under `key`.
inline std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  constexpr uint64_t kMultiplier0 = 0xD2511F53u;
  constexpr uint64_t kMultiplier1 = 0xCD9E8D57u;
  constexpr uint32_t kWeyl0 = 0x9E3779B9u;
  constexpr uint32_t kWeyl1 = 0xBB67AE85u;
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiplier0 * counter[0];
    const uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key = {key[0] + kWeyl0, key[1] + kWeyl1};
  }
  return counter;
}

// Key of a sample's random numbers; the counter is the token's position.
struct RandomStream {
  uint32_t seed = 0;
  uint32_t step = 0;
  uint32_t agent = 0;
  uint32_t prompt = 0;
  uint32_t sample = 0;

  // Uniform in [0, 1) with 53 bits, for the token at `position` of the completion.
  double uniform(uint32_t position) const {
    const auto bits = philox({agent, prompt, sample, position}, {seed, step});
    const uint64_t mantissa = ((static_cast<uint64_t>(bits[0]) << 32) | bits[1]) >> 11;
    return static_cast<double>(mantissa) * 0x1.0p-53;
  }
};

}  // namespace magrpo::core
