// A decoder's weights. q, k, v and gate, up are kept as one matrix each, so that a layer is four products.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "core/cancel.h"
#include "model/config.h"

namespace magrpo::model {

struct LayerWeights {
  at::Tensor attention_norm;  // (h)
  at::Tensor qkv;             // ((H + 2K) x D, h)
  at::Tensor qkv_bias;        // ((H + 2K) x D), undefined without bias
  at::Tensor q_norm, k_norm;  // (D), undefined where the architecture has none
  at::Tensor output;          // (h, H x D)
  at::Tensor output_bias;     // (h), undefined without bias
  at::Tensor attention_post_norm;  // (h), undefined where the architecture has none
  at::Tensor mlp_norm;        // (h)
  at::Tensor gate_up;         // (2I, h)
  at::Tensor gate_up_bias;    // (2I)
  at::Tensor down;            // (h, I)
  at::Tensor down_bias;       // (h)
  at::Tensor mlp_post_norm;   // (h), undefined where the architecture has none
};

struct Weights {
  at::Tensor embedding;  // (V, h)
  std::vector<LayerWeights> layers;
  at::Tensor final_norm;  // (h)
  at::Tensor head;        // (V, h); the embedding itself if tied
};

// One tensor of a checkpoint as a slice of ours: `tensor` rows [row, row + rows).
struct NamedSlice {
  std::string name;  // the checkpoint's name
  at::Tensor tensor;
  int64_t row;
  int64_t rows;

  at::Tensor view() const { return tensor.narrow(0, row, rows); }
};

// Name, dtype and shape of a tensor as it is saved.
struct TensorInfo {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
};

// A name of arch/NAME.json for layer number `layer`.
std::string in_layer(std::string name, size_t layer);

// The checkpoint names (Hugging Face) of all weights, in checkpoint order. A tied head has no name of its own. Slices of one tensor
// follow one another, its first row first.
std::vector<NamedSlice> named_slices(const Config& config, const Weights& weights);

// Where a tensor's bytes stand in a safetensors file. The header was read in TypeScript.
struct TensorSource {
  std::string name;
  std::string file;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  int64_t begin;
};

// Undefined memory in the right shapes; on the meta device, shapes alone.
Weights allocate_weights(const Config& config, const at::TensorOptions& options);

// Throws ERR_MODEL_FORMAT if a slice has no source, or one of another shape.
void check_shapes(const std::vector<NamedSlice>& slices, const std::vector<TensorSource>& sources);

// Fills `slices` from `sources`, matched by name. Files are memory-mapped after their size was checked; values are copied.
// Throws ERR_MODEL_FORMAT (missing tensor, wrong shape, short file), ERR_MODEL_WEIGHTS (NaN or infinity).
void read_tensors(const std::vector<NamedSlice>& slices, const std::vector<TensorSource>& sources, const core::CancelFlagPtr& cancel,
                  const std::function<void(int64_t, int64_t)>& progress);

// A file of `header` and the bytes of tensors, one after the other. Throws ERR_RUN if it cannot be written.
class TensorWriter {
 public:
  TensorWriter(std::string file, const std::string& header);
  ~TensorWriter();
  TensorWriter(const TensorWriter&) = delete;
  TensorWriter& operator=(const TensorWriter&) = delete;

  void write(const at::Tensor& tensor);
  // Syncs it to the disk.
  void finish();

 private:
  explicit TensorWriter(std::string file);
  void write_all(const char* data, size_t size);
  [[noreturn]] void fail(const char* what) const;

  std::string file_;
  int descriptor_;
};

// Writes `header` and the slices' bytes to `file` and syncs it to the disk.
void write_tensors(const std::string& file, const std::string& header, const std::vector<NamedSlice>& slices);

}  // namespace magrpo::model
