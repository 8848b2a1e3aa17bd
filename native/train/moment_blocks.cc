#include "train/moment_blocks.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "core/random.h"
#include "kernels/simd/dispatch.h"

namespace magrpo::train {
namespace {

// Magnitudes of the dynamic map in ascending order: 0, then for each power of ten from 1e-6 to 1 the middles of the equal parts into
// which [0.1, 1] of it is cut, twice as many for each as for the one before; then 1.
std::vector<double> magnitudes(int parts) {
  std::vector<double> result{0.0};
  double power = 1e-6;
  for (int i = 0; i < 7; ++i, parts *= 2, power *= 10.0)
    for (int part = 0; part < parts; ++part) result.push_back(power * (0.1 + 0.9 * (part + 0.5) / parts));
  result.push_back(1.0);
  return result;
}

// Finds the interval between ascending limits that a number of [0, 1] is in. Floats are cut by their exponent and seven bits of their
// mantissa into cells so narrow that none has two limits.
struct Intervals {
  static constexpr int32_t kFirstCell = 0x34000000 >> 16;  // of 2^-23
  static constexpr int32_t kCells = (0x3f800000 >> 16) - kFirstCell + 1;

  std::array<int32_t, kCells> least;  // limits up to the lowest number of a cell; the first one reaches down to 0
  std::array<float, 257> limits;

  explicit Intervals(const std::vector<double>& ascending) {
    limits.fill(std::numeric_limits<float>::infinity());
    std::copy(ascending.begin(), ascending.end(), limits.begin());
    for (int32_t cell = 0; cell < kCells; ++cell) {
      const float lowest = cell == 0 ? 0.0f : std::bit_cast<float>((cell + kFirstCell) << 16);
      least[cell] = static_cast<int32_t>(std::upper_bound(limits.begin(), limits.end(), lowest) - limits.begin());
    }
  }

  // Number of limits that are not above x.
  MAGRPO_INLINE int32_t find(float x) const {
    const int32_t cell = std::min(std::max((std::bit_cast<int32_t>(x) >> 16) - kFirstCell, 0), kCells - 1);
    const int32_t found = least[cell];
    return found + (x >= limits[found] ? 1 : 0);
  }
};

std::vector<double> middles(const std::vector<double>& numbers) {
  std::vector<double> result;
  for (size_t i = 1; i < numbers.size(); ++i) result.push_back((numbers[i - 1] + numbers[i]) / 2.0);
  return result;
}

// Code 127 of the first map is 0. The codes above it are the magnitudes in order, those below it all but the largest, negative.
constexpr int32_t kFirstZero = 127;

struct Maps {
  std::array<float, 256> first, second;
  std::array<float, 256> inverse_gaps;  // of the second map: 1 / (distance to the next number); 0 for the last
  Intervals nearest;                    // magnitudes of the first map: the nearest
  Intervals below;                      // of the second map: the largest that is not above, plus one

  Maps() : nearest(middles(magnitudes(1))), below(magnitudes(2)) {
    const auto of_first = magnitudes(1), of_second = magnitudes(2);
    for (int32_t code = 0; code < 256; ++code) {
      first[code] = static_cast<float>(code < kFirstZero ? -of_first[kFirstZero - code] : of_first[code - kFirstZero]);
      second[code] = static_cast<float>(of_second[code]);
      inverse_gaps[code] = code == 255 ? 0.0f : static_cast<float>(1.0 / (of_second[code + 1] - of_second[code]));
    }
  }
};

const Maps& maps() {
  static const Maps made;
  return made;
}

// Random words of a block, (4, calls).
template <int64_t calls>
MAGRPO_INLINE void random_words(const MomentStep& step, int64_t block, uint32_t* words) {
  const int64_t first = (step.first_block + block) * calls;
  const auto high = static_cast<uint32_t>(static_cast<uint64_t>(first) >> 32);
  const auto low = static_cast<uint32_t>(first);  // a multiple of `calls`, which is a power of two
#pragma omp simd
  for (uint32_t call = 0; call < calls; ++call) {
    const auto bits = core::philox({low + call, high, step.tensor, step.step}, {kMomentKey, 0});
    words[call] = bits[0];
    words[calls + call] = bits[1];
    words[2 * calls + call] = bits[2];
    words[3 * calls + call] = bits[3];
  }
}

// Moves numbers by their gradient, and their decoded moments.
MAGRPO_INLINE void move(const MomentStep& s, int64_t count, float* weights, const float* gradients, float* first, float* second) {
  const float fresh1 = 1.0f - s.beta1, fresh2 = 1.0f - s.beta2;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    // Moments are those of the way down, as in torch with `maximize`.
    const float down = -gradients[i];
    const float m = s.beta1 * first[i] + fresh1 * down;
    const float v = s.beta2 * second[i] + fresh2 * down * down;
    // One rounding: 1 - decay would lose most of a decay of 1e-7.
    weights[i] -= s.decay * weights[i] + s.rate * m / (std::sqrt(v) * s.root + s.epsilon);
    first[i] = m;
    second[i] = v;
  }
}

MAGRPO_INLINE void int8_blocks(const Int8Tensor& tensor, const MomentStep& step, const Maps& maps, int64_t begin, int64_t end) {
  alignas(64) float first[kMomentBlock], second[kMomentBlock];
  alignas(64) uint32_t words[4 * kInt8Calls];
  alignas(64) int32_t bits[kMomentBlock];
  // Bytes might be anything's; the loops that find codes become vector code where they write to memory of their own.
  alignas(64) int32_t codes[kMomentBlock];
  for (int64_t block = begin; block < end; ++block) {
    const int64_t start = block * kMomentBlock, count = std::min(kMomentBlock, tensor.size - start);
    uint8_t* first_codes = tensor.first + start;
    uint8_t* second_codes = tensor.second + start;
    const float first_scale = tensor.first_scales[block], second_scale = tensor.second_scales[block];
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      first[i] = maps.first[first_codes[i]] * first_scale;
      second[i] = maps.second[second_codes[i]] * second_scale;
    }
    move(step, count, tensor.weights + start, tensor.gradients + start, first, second);
    float first_most = 0.0f, second_most = 0.0f;
#pragma omp simd reduction(max : first_most, second_most)
    for (int64_t i = 0; i < count; ++i) {
      first_most = std::max(first_most, std::abs(first[i]));
      second_most = std::max(second_most, second[i]);
    }
    tensor.first_scales[block] = first_most;
    tensor.second_scales[block] = second_most;
    const float first_unit = first_most > 0.0f ? first_most : 1.0f, second_unit = second_most > 0.0f ? second_most : 1.0f;
    random_words<kInt8Calls>(step, block, words);
    for (int64_t word = 0; word < 4; ++word)
      for (int64_t call = 0; call < kInt8Calls; ++call) {
        bits[2 * word * kInt8Calls + call] = static_cast<int32_t>(words[word * kInt8Calls + call] & 0xffff);
        bits[(2 * word + 1) * kInt8Calls + call] = static_cast<int32_t>(words[word * kInt8Calls + call] >> 16);
      }
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      const float x = first[i] / first_unit;
      const int32_t magnitude = maps.nearest.find(std::abs(x));
      codes[i] = kFirstZero + (x < 0.0f ? -std::min(magnitude, kFirstZero) : magnitude);
    }
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) first_codes[i] = static_cast<uint8_t>(codes[i]);
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      const float x = second[i] / second_unit;
      const int32_t code = maps.below.find(x) - 1;
      const float share = (x - maps.second[code]) * maps.inverse_gaps[code];
      const int32_t rounded = code + (static_cast<float>(bits[i]) * 0x1p-16f < share ? 1 : 0);
      codes[i] = std::max(rounded, second[i] > 0.0f ? 1 : 0);
    }
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) second_codes[i] = static_cast<uint8_t>(codes[i]);
  }
}

MAGRPO_INLINE void bfloat16_blocks(const BFloat16Tensor& tensor, const MomentStep& step, int64_t begin, int64_t end) {
  alignas(64) float first[kMomentBlock], second[kMomentBlock];
  alignas(64) uint32_t words[4 * kBFloat16Calls];
  for (int64_t block = begin; block < end; ++block) {
    const int64_t start = block * kMomentBlock, count = std::min(kMomentBlock, tensor.size - start);
    uint16_t* first_bits = tensor.first + start;
    uint16_t* second_bits = tensor.second + start;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      first[i] = std::bit_cast<float>(static_cast<uint32_t>(first_bits[i]) << 16);
      second[i] = std::bit_cast<float>(static_cast<uint32_t>(second_bits[i]) << 16);
    }
    move(step, count, tensor.weights + start, tensor.gradients + start, first, second);
    random_words<kBFloat16Calls>(step, block, words);
    static_assert(4 * kBFloat16Calls == kMomentBlock);
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      first_bits[i] = static_cast<uint16_t>((std::bit_cast<uint32_t>(first[i]) + (words[i] & 0xffff)) >> 16);
      second_bits[i] = static_cast<uint16_t>((std::bit_cast<uint32_t>(second[i]) + (words[i] >> 16)) >> 16);
    }
  }
}

}  // namespace

const std::array<float, 256>& first_moment_map() { return maps().first; }
const std::array<float, 256>& second_moment_map() { return maps().second; }

void step_blocks(const Int8Tensor& tensor, const MomentStep& step, int64_t begin, int64_t end) {
  kernels::dispatch<int8_blocks>(tensor, step, maps(), begin, end);
}

void step_blocks(const BFloat16Tensor& tensor, const MomentStep& step, int64_t begin, int64_t end) {
  kernels::dispatch<bfloat16_blocks>(tensor, step, begin, end);
}

}  // namespace magrpo::train
