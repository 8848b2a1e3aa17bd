// AdamW over a list of tensors: what it moves, its moments, and the float32 masters of tensors that are not float32. Moments and masters may
// be spread over the ranks of a run (ZeRO stage 1, Rajbhandari et al., arXiv 1910.02054): each rank then holds those of a part of all numbers,
// and moves that part.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/cancel.h"
#include "model/weights.h"
#include "train/moments.h"

namespace magrpo::distributed {
class Collectives;
}

namespace magrpo::train {

// AdamW (Loshchilov & Hutter 2019) with clipping by global norm.
struct StepOptions {
  double learning_rate = 0.0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
  bool decay_all = false;  // false: of matrices alone, not of vectors (norms and biases)
  double max_grad_norm = 0.0;  // 0: no clipping
  MomentKind moments = MomentKind::kFloat32;
};

struct StepResult {
  double grad_norm = 0.0;  // global L2 norm before clipping
  bool skipped = false;  // the gradient was not finite: nothing was changed
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

  // One step up the gradients: one float32 tensor per parameter, undefined for zeros. Scales them if it clips. Moments that are not of
  // the kind of the options are converted before. Of a state that is spread, it moves this rank's numbers; share_weights() must follow.
  StepResult step(std::vector<at::Tensor> gradients, const StepOptions& options);

  // The state as it is saved, in a fixed order: `step`, `exp_avg.NAME`, `exp_avg_sq.NAME`, of codes `exp_avg_scale.NAME` and
  // `exp_avg_sq_scale.NAME`, and `master.NAME` if weights are not float32. Zeros that take no memory stand for moments that do not exist yet.
  std::vector<model::NamedSlice> slices();
  // The same as names, dtypes and shapes alone; any thread.
  std::vector<model::TensorInfo> describe() const;
  // All that a step reads and writes: weights, masters, moments of this kind and the step count; of a state that is spread, what every
  // rank has of it: weights and step count.
  std::vector<at::Tensor> tensors(MomentKind kind);
  // Fills the state from what slices() of a like optimizer had. Moments take the kind that was saved, until the next step.
  void read(const std::vector<model::TensorSource>& sources, const core::CancelFlagPtr& cancel);
  // Call after weights were overwritten: masters follow.
  void weights_changed();
  // Keeps moments and masters of weights on a CUDA device in the host's memory, or on the device again. A step then has a few of them at a time
  // on the device, see offload.h; its result is the same. No effect on the CPU.
  void offload(bool wanted);

  // What follows is called on all ranks at once. See optimizer_ranks.cc.

  // Spreads the state over the ranks, or gives each the whole of it again. Tensors that were added since are spread too.
  void spread(distributed::Collectives& ranks, bool wanted);
  bool is_spread() const;
  // Bytes of moments and masters that this rank holds, for measurements.
  int64_t state_bytes() const;
  // Gives every rank the weights that the others have moved.
  void share_weights(distributed::Collectives& ranks);
  // Writes what slices() of the whole state would be, after `header`, part by part: rank 0 has one tensor at a time beside its own. Other
  // ranks name no file.
  void write(const std::string& file, const std::string& header, distributed::Collectives& ranks);
  // The same as read(): rank 0 reads, others have no sources. Throws ERR_RANK on these if rank 0 finds another shape.
  void read(const std::vector<model::TensorSource>& sources, const core::CancelFlagPtr& cancel, distributed::Collectives& ranks);

 private:
  struct Part {
    model::NamedSlice slice;  // of the weight
    // Where each rank's numbers of the part begin, flat, and at the end how many there are; empty if every rank has all of them.
    std::vector<int64_t> bounds;
    int64_t begin = 0, end = 0;  // those of this rank
    at::Tensor master;  // of these, where the parameter has none
    Moments moments;  // undefined before the first step; parts of `whole` if that is defined

    int64_t size() const { return slice.rows * (slice.tensor.numel() / slice.tensor.size(0)); }
  };
  struct Parameter {
    at::Tensor weight;
    at::Tensor master;  // its float32 numbers; the weight itself if that is float32. Undefined if it is cut and the weight is not
    std::vector<Part> parts;
    Moments whole;  // of kFloat32, which libtorch steps as one tensor
    bool has_moments = false;
    bool is_cut = false;  // this rank moves only some of its numbers, or none

    bool has_masters() const { return weight.scalar_type() != at::kFloat; }
  };
  // One tensor of the state as it is saved.
  struct Entry;
  // What a step moves at once, and what the fused kernel takes.
  struct Piece;
  struct Batch;

  // Gives every tensor moments of a kind: zeros, or what it had in another.
  void prepare(MomentKind kind);
  void make_step();
  void drop_moments();
  uint32_t step_count() const;
  std::vector<Piece> pieces(const std::vector<at::Tensor>& gradients, const StepOptions& options) const;
  void step_pieces(const std::vector<Piece>& pieces, const StepOptions& options, MomentStep step);
  void step_staged(const std::vector<Piece>& pieces, const StepOptions& options, const MomentStep& step);
  void step_batch(const Batch& batch, bool decays, const StepOptions& options);
  bool decays(const Parameter& parameter, const StepOptions& options) const;
  bool has_masters() const;
  // The kind that was saved.
  static MomentKind kind_of(const std::vector<model::TensorSource>& sources);
  // Where moments and masters are.
  at::TensorOptions place() const;
  // A copy there.
  at::Tensor placed(const at::Tensor& tensor) const;
  void move_state(Parameter& p);
  // Whether libtorch's kernel comes to the same bits for parts as for the tensor.
  static bool is_aligned(const Parameter& p);
  // What this rank moves of something of the parameter's shape: rows of it, flat if the parameter is cut.
  static at::Tensor own(const Parameter& p, const Part& part, const at::Tensor& whole);
  static at::Tensor master_of(const Parameter& p, const Part& part);
  // By parameter and part, see Part::bounds.
  std::vector<std::vector<std::vector<int64_t>>> bounds_for(int ranks) const;
  void gather(Parameter& p, distributed::Collectives& ranks);
  void cut(Parameter& p);
  std::vector<Entry> entries() const;

  std::vector<Parameter> parameters_;
  bool is_offloaded_ = false;
  at::Tensor step_;  // () float32, as the fused kernel expects it
  // Of all moments; a pointer, so that policies can be moved.
  std::unique_ptr<std::atomic<MomentKind>> kind_ = std::make_unique<std::atomic<MomentKind>>(MomentKind::kFloat32);
};

}  // namespace magrpo::train
