// The moments of one tensor under AdamW, in the numbers they are kept in, and steps of those that are not float32.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "train/moment_blocks.h"

namespace magrpo::train {

enum class MomentKind { kFloat32, kBFloat16, kInt8 };

// Tensors with fewer numbers keep float32 moments under kInt8.
inline constexpr int64_t kLeastInt8 = 4096;

// What tensors of `size` numbers have under `kind`.
inline MomentKind kind_for(MomentKind kind, int64_t size) {
  return kind == MomentKind::kInt8 && size < kLeastInt8 ? MomentKind::kFloat32 : kind;
}
at::ScalarType dtype_of(MomentKind kind);

struct Moments {
  at::Tensor first, second;                // of the tensor's shape: float32, bfloat16, or uint8 codes
  at::Tensor first_scales, second_scales;  // (blocks) float32, of codes alone

  // Zeros for a tensor, where the options say.
  static Moments zeros_for(const at::Tensor& tensor, MomentKind kind, const at::TensorOptions& place);
  static Moments zeros_for(const at::Tensor& tensor, MomentKind kind) { return zeros_for(tensor, kind, tensor.options()); }
  // The same without memory, as a zero that every number shares: not to be written to.
  static Moments blanks_for(const at::Tensor& tensor, MomentKind kind);
  MomentKind kind() const;
  // Rows of the first dimension, of moments without scales. They share their memory.
  Moments rows(int64_t begin, int64_t count) const { return {first.narrow(0, begin, count), second.narrow(0, begin, count), {}, {}}; }
};

// What is saved of moments, with what precedes the name of the weights.
inline constexpr std::pair<const char*, at::Tensor Moments::*> kMomentMembers[]{{"exp_avg.", &Moments::first},
                                                                                {"exp_avg_sq.", &Moments::second},
                                                                                {"exp_avg_scale.", &Moments::first_scales},
                                                                                {"exp_avg_sq_scale.", &Moments::second_scales}};

// One step of a contiguous float32 tensor, up its gradient; moments of bfloat16 or codes. Deterministic, whatever the threads.
void step_tensor(const at::Tensor& weights, const at::Tensor& gradients, const Moments& moments, const MomentStep& step);

// The same composed of libtorch's operations, for any device; the bits of the moments may differ where a sum was rounded differently.
void step_tensor_composed(const at::Tensor& weights, const at::Tensor& gradients, const Moments& moments, const MomentStep& step);

// The numbers of `from` in the kind of `to`. `step` chooses the random bits.
void convert(const Moments& from, const Moments& to, const MomentStep& step);

}  // namespace magrpo::train
