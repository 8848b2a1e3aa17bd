// A trainable view of a decoder: all its weights, or an adapter over the frozen base; with its optimizer.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/live_objects.h"
#include "model/decoder.h"
#include "model/lora.h"
#include "train/slot_sums.h"
#include "train/value_head.h"

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
  bool decay_all = false;      // false: of matrices alone, not of vectors (norms and biases)
  double max_grad_norm = 0.0;  // 0: no clipping
};

struct StepResult {
  double grad_norm = 0.0;  // global L2 norm before clipping
  bool skipped = false;    // the gradient was not finite: nothing was changed
};

// The slots of a step and the ranks that hold them: rank r those from bounds[r] up to bounds[r + 1].
struct SlotShares {
  std::vector<int64_t> slots;  // with a gradient, ascending
  std::vector<int64_t> bounds;
  SlotSums of(size_t rank) const;
};

// The parts of a policy that can be saved. Optimizer: `step`, `exp_avg.NAME`, `exp_avg_sq.NAME` and, for bfloat16, `master.NAME`, of the
// weights and then of the value head.
enum class Section { kWeights, kOptimizer, kGradients, kValueHead };

class Policy : core::Counted<Policy> {
 public:
  using core::Counted<Policy>::alive;

  // An adapter over `decoder`, or all its weights; at most one policy of the second kind per decoder.
  explicit Policy(std::shared_ptr<model::Decoder> decoder, std::optional<model::Adapter> adapter = std::nullopt);

  bool is_full() const { return !adapter_; }
  const model::Adapter* adapter() const { return adapter_ ? &*adapter_ : nullptr; }
  model::Decoder& decoder() const { return *decoder_; }
  int64_t parameter_count() const;

  // Gives the policy a value head, trained by its own step; it replaces an earlier one.
  void attach_value_head(int64_t hidden_size, uint64_t seed);
  const ValueHead* value_head() const { return value_head_.get(); }

  // Sets requires_grad of the parameters; true only during a pass with gradients.
  void require_gradients(bool wanted);
  // Moves gradients of bfloat16 parameters into float32 accumulators, so that micro-batches add up without rounding.
  void absorb_gradients();
  // Discards gradients of the last backward pass that were not absorbed.
  void discard_fresh_gradients();
  void zero_gradients();
  StepResult step(const StepOptions& options);

  // Ends the gradient of one slot of a step, in ascending order; what is accumulated next belongs to another.
  void end_slot(int64_t slot, const SlotShares& shares, size_t rank);
  // Makes the gradient that of all slots and ranks, the same bits however slots are spread. Null: this is the only rank.
  void sum_slots(const SlotShares& shares, distributed::Collectives* ranks);
  // Makes the gradient the sum of all ranks'.
  void sum_gradients(distributed::Collectives& ranks);
  // Overwrites weights, value head and optimizer with those of rank 0.
  void copy_from_first(distributed::Collectives& ranks);

  // The tensors of a section, in checkpoint names and a fixed order. Executor thread only.
  std::vector<model::NamedSlice> slices(Section section);
  // Their names, dtypes and shapes alone; any thread, as none of these ever change.
  std::vector<model::TensorInfo> describe(Section section) const;
  // Call after weights were overwritten from a file.
  void weights_changed();

 private:
  struct Parameter {
    at::Tensor weight;      // as the forward pass uses it
    at::Tensor master;      // float32; the weight itself if that is float32
    at::Tensor gradient;    // float32 accumulator, undefined until something was accumulated
    at::Tensor exp_avg;     // float32, undefined before the first step
    at::Tensor exp_avg_sq;  // float32
  };

  void add_parameters(const std::vector<model::NamedSlice>& slices);
  void prepare_optimizer();
  void define_gradients();
  // The weights of a section: those of the decoder or adapter, the value head's, or both.
  std::vector<model::NamedSlice> weight_slices(Section section) const;
  // What a section holds of each parameter, with what precedes the weight's name.
  std::vector<std::pair<std::string, at::Tensor Parameter::*>> members(Section section) const;

  std::shared_ptr<model::Decoder> decoder_;
  std::optional<model::Adapter> adapter_;
  std::unique_ptr<ValueHead> value_head_;
  std::vector<Parameter> parameters_;
  std::optional<SlotSums> slot_sums_;  // of a step whose slots are summed one by one
  at::Tensor step_;  // () float32, as the fused kernel expects it
};

}  // namespace magrpo::train
