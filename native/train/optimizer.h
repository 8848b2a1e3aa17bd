// AdamW over a list of tensors: what it moves, its moments, and the float32 masters of tensors that are not float32.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "model/weights.h"

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
};

struct StepResult {
  double grad_norm = 0.0;  // global L2 norm before clipping
  bool skipped = false;    // the gradient was not finite: nothing was changed
};

// Executor thread only, but for describe().
class Optimizer {
 public:
  // Tensors to move, by the slices that name their parts: those of one tensor follow one another, its first row first. All on one device.
  // The optimizer shares the tensors' memory.
  void add(const std::vector<model::NamedSlice>& slices);
  // Forgets tensors from number `size` on.
  void truncate(size_t size) { parameters_.resize(size); }

  size_t size() const { return parameters_.size(); }
  // The tensor as the forward pass uses it.
  const at::Tensor& weight(size_t parameter) const { return parameters_[parameter].weight; }
  const at::Tensor& master(size_t parameter) const { return parameters_[parameter].master; }

  // One step up the gradients, which are maximised: one float32 tensor per parameter, undefined for zeros. Scales them if it clips.
  StepResult step(std::vector<at::Tensor> gradients, const StepOptions& options);

  // The state as it is saved, in a fixed order: `step`, `exp_avg.NAME`, `exp_avg_sq.NAME` and, if any differ from the weights, `master.NAME`.
  std::vector<model::NamedSlice> slices();
  // The same as names, dtypes and shapes alone; any thread.
  std::vector<model::TensorInfo> describe() const;
  // Call after weights were overwritten: masters follow.
  void weights_changed();

 private:
  struct Parameter {
    at::Tensor weight;
    at::Tensor master;      // float32; the weight itself if that is float32
    at::Tensor exp_avg;     // float32, undefined before the first step
    at::Tensor exp_avg_sq;  // float32
    std::vector<model::NamedSlice> parts;  // of the weight
  };

  void prepare();
  // What is saved of each parameter, with what precedes the name of a part.
  std::vector<std::pair<std::string, at::Tensor Parameter::*>> members() const;

  std::vector<Parameter> parameters_;
  at::Tensor step_;  // () float32, as the fused kernel expects it
};

}  // namespace magrpo::train
