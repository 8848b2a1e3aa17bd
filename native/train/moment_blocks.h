// AdamW over moments in 8 bits or bfloat16, block by block on the CPU: a block is decoded, moved and encoded again.
//
// 8 bits (Dettmers et al., arXiv 2110.02861): a block of 256 numbers is stored as its largest magnitude and one code per number,
// an index into a table of sorted numbers that lie dense near 0: of [-1, 1] for the first moment, of [0, 1] for the second. Two
// things differ from the paper, both of the second moment. It is rounded up or down at random, so that it is right on average: its
// decay by 0.1 % per step is less than half the distance of two codes, so the nearest one would stay the same for ever. And it is 0
// only where it is exactly 0, since m / (√0 + ε) would be a step some 10⁸ times too large.
//
// bfloat16: both moments are rounded at random, for the same reason.
#pragma once

#include <array>
#include <cstdint>

namespace magrpo::train {

// Numbers that share a scale. Both kinds are worked on in these.
inline constexpr int64_t kMomentBlock = 256;

inline int64_t moment_blocks(int64_t size) { return (size + kMomentBlock - 1) / kMomentBlock; }

// Random bits of a block come from Philox calls, each of which serves a few numbers: those with the same index modulo the number of calls.
inline constexpr int64_t kInt8Calls = 32, kBFloat16Calls = 64;
inline constexpr uint32_t kMomentKey = 0x6d6f6d65;

// Numbers by code, sorted: the dynamic map of 8 bits.
const std::array<float, 256>& first_moment_map();
const std::array<float, 256>& second_moment_map();

// One step of one tensor, as AdamW has it at this step.
struct MomentStep {
  float beta1, beta2;
  float rate;        // learning rate / (1 - beta1^t)
  float root;        // 1 / √(1 - beta2^t)
  float epsilon;
  float decay;       // learning rate · weight decay
  uint32_t step;     // t, and the tensor's number: counters of the random bits
  uint32_t tensor;
  int64_t first_block = 0;  // of the numbers at hand in that tensor: another counter
};

// A tensor of `size` float32 weights with its gradient, which is followed uphill.
struct Int8Tensor {
  float* weights;
  const float* gradients;
  uint8_t* first;        // (size) codes
  uint8_t* second;       // (size)
  float* first_scales;   // (blocks)
  float* second_scales;  // (blocks)
  int64_t size;
};

struct BFloat16Tensor {
  float* weights;
  const float* gradients;
  uint16_t* first;   // (size) the upper halves of floats
  uint16_t* second;  // (size)
  int64_t size;
};

// Blocks [begin, end) of a tensor. A block's result depends on that block alone.
void step_blocks(const Int8Tensor& tensor, const MomentStep& step, int64_t begin, int64_t end);
void step_blocks(const BFloat16Tensor& tensor, const MomentStep& step, int64_t begin, int64_t end);

}  // namespace magrpo::train
