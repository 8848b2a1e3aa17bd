// AdamW over a list of tensors: what it moves, its moments, and the float32 masters of tensors that are not float32.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/cancel.h"
#include "model/weights.h"
#include "train/moments.h"

namespace magrpo::train {

// AdamW (Loshchilov & Hutter 2019) with clipping by global norm.
struct StepOptions {
  double learning_rate = 0.0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
  bool decay_all = false;      // false: of matrices alone, not of vectors (norms and biases)
  double max_grad_norm = 0.0;  // 0: no clipping
  MomentKind moments = MomentKind::kFloat32;
};

struct StepResult {
  double grad_norm = 0.0;  // global L2 norm before clipping
  bool skipped = false;    // the gradient was not finite: nothing was changed
};

// Executor thread only, but for describe().
class Optimizer {
 public:
  // Tensors to move, by the slices that name their parts: those of one tensor follow one another, its first row first. All on one device
  // and contiguous; the optimizer shares their memory.
  void add(const std::vector<model::NamedSlice>& slices);
  // Forgets tensors from number `size` on.
  void truncate(size_t size) { parameters_.resize(size); }

  size_t size() const { return parameters_.size(); }
  // The tensor as the forward pass uses it.
  const at::Tensor& weight(size_t parameter) const { return parameters_[parameter].weight; }
  // Its float32 numbers; the weight itself if that is float32.
  const at::Tensor& master(size_t parameter) const { return parameters_[parameter].master; }

  // One step up the gradients: one float32 tensor per parameter, undefined for zeros. Scales them if it clips. Moments that are not of
  // the kind of the options are converted before.
  StepResult step(std::vector<at::Tensor> gradients, const StepOptions& options);

  // The state as it is saved, in a fixed order: `step`, `exp_avg.NAME`, `exp_avg_sq.NAME`, of codes `exp_avg_scale.NAME` and
  // `exp_avg_sq_scale.NAME`, and `master.NAME` if weights are not float32. Zeros that take no memory stand for moments that do not exist yet.
  std::vector<model::NamedSlice> slices();
  // The same as names, dtypes and shapes alone; any thread.
  std::vector<model::TensorInfo> describe() const;
  // All that a step reads and writes: weights, masters, moments of this kind and the step count.
  std::vector<at::Tensor> tensors(MomentKind kind);
  // Fills the state from what slices() of a like optimizer had. Moments take the kind that was saved, until the next step.
  void read(const std::vector<model::TensorSource>& sources, const core::CancelFlagPtr& cancel);
  // Call after weights were overwritten: masters follow.
  void weights_changed();

 private:
  struct Part {
    model::NamedSlice slice;  // of the weight
    Moments moments;  // undefined before the first step; parts of `whole` if that is defined
  };
  struct Parameter {
    at::Tensor weight, master;
    std::vector<Part> parts;
    Moments whole;  // of kFloat32, which libtorch steps as one tensor
  };
  // What the fused kernel takes.
  struct Batch;

  // Gives every tensor moments of a kind: zeros, or what it had in another.
  void prepare(MomentKind kind);
  void drop_moments();
  uint32_t step_count() const;
  void step_parts(const std::vector<at::Tensor>& gradients, const StepOptions& options);
  void step_batch(const Batch& batch, bool decays, const StepOptions& options);
  bool decays(const Parameter& parameter, const StepOptions& options) const;
  bool has_masters() const;

  std::vector<Parameter> parameters_;
  at::Tensor step_;  // () float32, as the fused kernel expects it
  // Of all moments; a pointer, so that policies can be moved.
  std::unique_ptr<std::atomic<MomentKind>> kind_ = std::make_unique<std::atomic<MomentKind>>(MomentKind::kFloat32);
};

}  // namespace magrpo::train
