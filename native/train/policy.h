// A trainable view of a decoder: all its weights, or an adapter over the frozen base; with its optimizer.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/live_objects.h"
#include "model/decoder.h"
#include "model/lora.h"
#include "train/optimizer.h"
#include "train/slot_sums.h"
#include "train/value_head.h"

namespace magrpo::distributed {
class Collectives;
}

namespace magrpo::train {

// The slots of a step and the ranks that hold them: rank r those from bounds[r] up to bounds[r + 1].
struct SlotShares {
  std::vector<int64_t> slots;  // with a gradient, ascending
  std::vector<int64_t> bounds;
  SlotSums of(size_t rank) const;
};

// The parts of a policy that can be saved; the optimizer's (see Optimizer::slices) are of the weights and then of the value head.
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
  // One step up the gradients, which are dropped. Of an optimizer that is spread over ranks, these are needed: all of them step at once.
  StepResult step(const StepOptions& options, distributed::Collectives* ranks = nullptr);

  // Ends the gradient of one slot of a step, in ascending order; what is accumulated next belongs to another.
  void end_slot(int64_t slot, const SlotShares& shares, size_t rank);
  // Makes the gradient that of all slots and ranks, the same bits however slots are spread. Null: this is the only rank.
  void sum_slots(const SlotShares& shares, distributed::Collectives* ranks);
  // Makes the gradient the sum of all ranks'.
  void sum_gradients(distributed::Collectives& ranks);
  // Spreads the optimizer over the ranks, or gives each the whole of it again; see Optimizer::spread.
  void spread(distributed::Collectives& ranks, bool wanted) { optimizer_.spread(ranks, wanted); }
  // Keeps the optimizer's state in the host's memory, or on the device again; see Optimizer::offload.
  void offload(bool wanted) { optimizer_.offload(wanted); }
  // Bytes of the optimizer's moments and masters that this process holds.
  int64_t optimizer_bytes() const { return optimizer_.state_bytes(); }
  // Writes the optimizer's section to a file of rank 0, and reads it, where it is spread; see Optimizer.
  void write_spread(const std::string& file, const std::string& header, distributed::Collectives& ranks) {
    optimizer_.write(file, header, ranks);
  }
  void read_spread(const std::vector<model::TensorSource>& sources, const core::CancelFlagPtr& cancel, distributed::Collectives& ranks) {
    optimizer_.read(sources, cancel, ranks);
  }
  // Overwrites weights, value head and optimizer with those of rank 0, whose moments are of this kind. An optimizer that is spread is not
  // copied, but for its step count.
  void copy_from_first(distributed::Collectives& ranks, MomentKind kind);

  // The tensors of a section, in checkpoint names and a fixed order. Executor thread only.
  std::vector<model::NamedSlice> slices(Section section);
  // Their names, dtypes and shapes alone; any thread, as none of these ever change.
  std::vector<model::TensorInfo> describe(Section section) const;
  // Overwrites a section, not the gradients, with what slices() of a like policy had; throws as model::read_tensors.
  void read(Section section, const std::vector<model::TensorSource>& sources, const core::CancelFlagPtr& cancel);
  // Call after weights were overwritten.
  void weights_changed() { optimizer_.weights_changed(); }

 private:
  void define_gradients();
  // The weights of a section: those of the decoder or adapter, the value head's, or both.
  std::vector<model::NamedSlice> weight_slices(Section section) const;

  std::shared_ptr<model::Decoder> decoder_;
  std::optional<model::Adapter> adapter_;
  std::unique_ptr<ValueHead> value_head_;
  Optimizer optimizer_;
  std::vector<at::Tensor> gradients_;  // one float32 accumulator per weight of the optimizer, undefined until something was accumulated
  std::optional<SlotSums> slot_sums_;  // of a step whose slots are summed one by one
};

}  // namespace magrpo::train
