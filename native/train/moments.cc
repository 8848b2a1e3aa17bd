#include "train/moments.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bitwise_right_shift.h>
#include <ATen/ops/bucketize.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "core/parallel.h"

namespace magrpo::train {
namespace {

// Blocks that are worth a thread, some 20 us of work; and those that are worked on at once where a step is composed of operations, each of
// which takes memory of its own.
constexpr int64_t kBlocksPerThread = 32, kBlocksAtOnce = 4096;

// Numbers of a block's tensor in rows of a block, the last one padded with zeros: (blocks, 256).
at::Tensor in_blocks(const at::Tensor& numbers) {
  const int64_t missing = moment_blocks(numbers.numel()) * kMomentBlock - numbers.numel();
  return (missing > 0 ? at::constant_pad_nd(numbers, {0, missing}) : numbers).view({-1, kMomentBlock});
}

// A part of moments as flat tensors, blocks [begin, end).
struct Chunk {
  at::Tensor first, second, first_scales, second_scales;
  int64_t begin, end, size;

  Chunk(const Moments& moments, int64_t begin_block, int64_t end_block) : begin(begin_block), end(end_block) {
    const int64_t start = begin * kMomentBlock;
    size = std::min(end * kMomentBlock, moments.first.numel()) - start;
    first = moments.first.view({-1}).narrow(0, start, size);
    second = moments.second.view({-1}).narrow(0, start, size);
    if (!moments.first_scales.defined()) return;
    first_scales = moments.first_scales.narrow(0, begin, end - begin);
    second_scales = moments.second_scales.narrow(0, begin, end - begin);
  }
};

// Calls work(begin, end) for ranges of blocks.
template <class Work>
void for_chunks(int64_t size, const Work& work) {
  const int64_t blocks = moment_blocks(size);
  for (int64_t begin = 0; begin < blocks; begin += kBlocksAtOnce) work(begin, std::min(blocks, begin + kBlocksAtOnce));
}

// A map on a device: (256) float32.
at::Tensor on_device(const std::array<float, 256>& map, const at::Tensor& like) {
  return at::from_blob(const_cast<float*>(map.data()), {256}, at::kFloat).clone().to(like.device());
}

at::Tensor decoded(const at::Tensor& codes, const at::Tensor& scales, const std::array<float, 256>& map) {
  const at::Tensor numbers = on_device(map, codes).index_select(0, codes.to(at::kLong));
  return (in_blocks(numbers) * scales.unsqueeze(1)).view({-1}).narrow(0, 0, codes.numel());
}

// (numbers) each, float32.
std::pair<at::Tensor, at::Tensor> decoded(const Chunk& chunk) {
  if (!chunk.first_scales.defined()) return {chunk.first.to(at::kFloat), chunk.second.to(at::kFloat)};
  return {decoded(chunk.first, chunk.first_scales, first_moment_map()), decoded(chunk.second, chunk.second_scales, second_moment_map())};
}

// Without the lowest `bits` bits.
at::Tensor shifted(const at::Tensor& x, int64_t bits) { return at::bitwise_right_shift(x, at::Scalar(bits)); }

// core::philox over the calls of blocks: four tensors (blocks, calls) of int64, each a word. Products of two words wrap in 64 bits.
std::array<at::Tensor, 4> random_words(const Chunk& chunk, int64_t calls, const MomentStep& step) {
  constexpr int64_t kWord = 0xffffffff;
  const at::Tensor number =
      at::arange((step.first_block + chunk.begin) * calls, (step.first_block + chunk.end) * calls, chunk.first.options().dtype(at::kLong));
  std::array<at::Tensor, 4> words{number & kWord, shifted(number, 32) & kWord, at::full_like(number, int64_t{step.tensor}),
                                  at::full_like(number, int64_t{step.step})};
  std::array<uint32_t, 2> key{kMomentKey, 0};
  for (int round = 0; round < 10; ++round) {
    const at::Tensor product0 = words[0] * int64_t{0xD2511F53}, product1 = words[2] * int64_t{0xCD9E8D57};
    words = {(shifted(product1, 32) & kWord) ^ words[1] ^ int64_t{key[0]}, product1 & kWord,
             (shifted(product0, 32) & kWord) ^ words[3] ^ int64_t{key[1]}, product0 & kWord};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  for (auto& word : words) word = word.view({-1, calls});
  return words;
}

// Scales of blocks, and numbers in them: (blocks) and (numbers).
std::pair<at::Tensor, at::Tensor> scaled(const at::Tensor& numbers) {
  const at::Tensor blocks = in_blocks(numbers);
  const at::Tensor scales = blocks.abs().amax(1);
  const at::Tensor units = at::where(scales > 0, scales, 1.0f);
  return {scales, (blocks / units.unsqueeze(1)).view({-1}).narrow(0, 0, numbers.numel())};
}

void encode_int8(const at::Tensor& first, const at::Tensor& second, const Chunk& chunk, const MomentStep& step) {
  const at::Tensor map1 = on_device(first_moment_map(), first), map2 = on_device(second_moment_map(), second);
  const auto [first_scales, x] = scaled(first);
  // Doubles, so that the middle of two codes is exact.
  const at::Tensor exact = map1.to(at::kDouble);
  const at::Tensor middles = ((exact.narrow(0, 0, 255) + exact.narrow(0, 1, 255)) / 2).to(at::kFloat);
  chunk.first_scales.copy_(first_scales);
  chunk.first.copy_(at::bucketize(x, middles, /*out_int32=*/false, /*right=*/true));

  const auto [second_scales, y] = scaled(second);
  const at::Tensor code = at::bucketize(y, map2, /*out_int32=*/false, /*right=*/true) - 1;
  const at::Tensor below = map2.index_select(0, code), above = map2.index_select(0, (code + 1).clamp_max(255));
  std::vector<at::Tensor> halves;
  for (const auto& word : random_words(chunk, kInt8Calls, step)) halves.insert(halves.end(), {word & 0xffff, shifted(word, 16)});
  const at::Tensor bits = at::stack(halves, 1).view({-1}).narrow(0, 0, chunk.size);
  const at::Tensor share = at::where(code < 255, (y - below) / (above - below), 0.0f);
  const at::Tensor rounded = code + (bits.to(at::kFloat) * 0x1p-16f < share).to(at::kLong);
  chunk.second_scales.copy_(second_scales);
  chunk.second.copy_(rounded.maximum((second > 0).to(at::kLong)));
}

void encode_bfloat16(const at::Tensor& first, const at::Tensor& second, const Chunk& chunk, const MomentStep& step) {
  const auto words = random_words(chunk, kBFloat16Calls, step);
  const at::Tensor bits = at::stack(at::TensorList(words), 1).view({-1}).narrow(0, 0, chunk.size);
  const auto rounded = [](const at::Tensor& numbers, const at::Tensor& below) {
    return shifted(numbers.contiguous().view(at::kInt) + below.to(at::kInt), 16).to(at::kShort).view(at::kBFloat16);
  };
  chunk.first.copy_(rounded(first, bits & 0xffff));
  chunk.second.copy_(rounded(second, shifted(bits, 16)));
}

void encode(const at::Tensor& first, const at::Tensor& second, const Chunk& chunk, MomentKind kind, const MomentStep& step) {
  if (kind == MomentKind::kInt8) return encode_int8(first, second, chunk, step);
  if (kind == MomentKind::kBFloat16) return encode_bfloat16(first, second, chunk, step);
  chunk.first.copy_(first);
  chunk.second.copy_(second);
}

uint16_t* halves(const at::Tensor& x) { return reinterpret_cast<uint16_t*>(x.mutable_data_ptr<at::BFloat16>()); }

}  // namespace

at::ScalarType dtype_of(MomentKind kind) {
  return kind == MomentKind::kInt8 ? at::kByte : kind == MomentKind::kBFloat16 ? at::kBFloat16 : at::kFloat;
}

MomentKind Moments::kind() const {
  const auto dtype = first.scalar_type();
  return dtype == at::kByte ? MomentKind::kInt8 : dtype == at::kBFloat16 ? MomentKind::kBFloat16 : MomentKind::kFloat32;
}

Moments Moments::zeros_for(const at::Tensor& tensor, MomentKind kind, const at::TensorOptions& place) {
  const auto made = [&](const at::Tensor& blank) {
    return blank.defined() ? at::zeros(blank.sizes(), place.dtype(blank.scalar_type())) : blank;
  };
  const Moments blanks = blanks_for(tensor, kind);
  return {made(blanks.first), made(blanks.second), made(blanks.first_scales), made(blanks.second_scales)};
}

Moments Moments::blanks_for(const at::Tensor& tensor, MomentKind kind) {
  const auto blank = [&](at::IntArrayRef shape, at::ScalarType dtype) {
    return at::zeros({}, at::TensorOptions().device(tensor.device()).dtype(dtype)).expand(shape);
  };
  const at::Tensor numbers = blank(tensor.sizes(), dtype_of(kind));
  // A scale of 0 makes every code 0.
  const at::Tensor scales = kind == MomentKind::kInt8 ? blank({moment_blocks(tensor.numel())}, at::kFloat) : at::Tensor();
  return {numbers, numbers, scales, scales};
}

void step_tensor(const at::Tensor& weights, const at::Tensor& gradients, const Moments& moments, const MomentStep& step) {
  if (!weights.is_cpu()) return step_tensor_composed(weights, gradients, moments, step);
  float* w = weights.mutable_data_ptr<float>();
  const float* g = gradients.const_data_ptr<float>();
  const int64_t size = weights.numel(), blocks = moment_blocks(size);
  const auto run = [&](const auto& tensor) {
    core::parallel_for(blocks, kBlocksPerThread, [&](int64_t begin, int64_t end) { step_blocks(tensor, step, begin, end); });
  };
  if (moments.kind() == MomentKind::kInt8)
    run(Int8Tensor{w, g, moments.first.mutable_data_ptr<uint8_t>(), moments.second.mutable_data_ptr<uint8_t>(),
                   moments.first_scales.mutable_data_ptr<float>(), moments.second_scales.mutable_data_ptr<float>(), size});
  else run(BFloat16Tensor{w, g, halves(moments.first), halves(moments.second), size});
}

void step_tensor_composed(const at::Tensor& weights, const at::Tensor& gradients, const Moments& moments, const MomentStep& step) {
  const at::Tensor all_weights = weights.view({-1}), all_gradients = gradients.view({-1});
  for_chunks(weights.numel(), [&](int64_t begin, int64_t end) {
    const Chunk chunk(moments, begin, end);
    at::Tensor w = all_weights.narrow(0, begin * kMomentBlock, chunk.size);
    const at::Tensor down = -all_gradients.narrow(0, begin * kMomentBlock, chunk.size);
    const auto [old_first, old_second] = decoded(chunk);
    const at::Tensor first = old_first * step.beta1 + down * (1.0f - step.beta1);
    const at::Tensor second = old_second * step.beta2 + down * down * (1.0f - step.beta2);
    w.sub_(w * step.decay + first / (second.sqrt() * step.root + step.epsilon) * step.rate);
    encode(first, second, chunk, moments.kind(), step);
  });
}

void convert(const Moments& from, const Moments& to, const MomentStep& step) {
  for_chunks(from.first.numel(), [&](int64_t begin, int64_t end) {
    const auto [first, second] = decoded(Chunk(from, begin, end));
    encode(first, second, Chunk(to, begin, end), to.kind(), step);
  });
}

}  // namespace magrpo::train
