// What a CPU build calls instead of CUDA: a table that the library of the software device fills in when it is loaded. Each entry is the
// function of its name, so that the two cannot differ in their types.
#pragma once

#include <map>
#include <string>

#include "core/device_cuda.h"
#include "kernels/logit_rows/logit_rows.h"
#include "kernels/low_rank/low_rank.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rotary/rotary.h"
#include "kernels/row_product/row_product.h"
#include "kernels/sample/sample.h"
#include "kernels/swiglu/swiglu.h"
#include "kernels/tree_attention/plan.h"

namespace magrpo::software_cuda {

#define MAGRPO_RUNTIME_FUNCTIONS(X) \
  X(unavailable_reason)             \
  X(variant)                        \
  X(device_count)                   \
  X(device_memory)                  \
  X(device_name)                    \
  X(current_stream)                 \
  X(make_model_stream)              \
  X(pins_memory)                    \
  X(record_event)                   \
  X(synchronize)                    \
  X(make_guard)                     \
  X(record_graph)

#define MAGRPO_KERNEL_FUNCTIONS(X) \
  X(read_logits_cuda)              \
  X(logit_gradients_cuda)          \
  X(shape_logits_cuda)             \
  X(mark_negative_cuda)            \
  X(unshape_gradients_cuda)        \
  X(low_rank_add_cuda)             \
  X(rms_norm_forward_cuda)         \
  X(rms_norm_backward_cuda)        \
  X(rotary_cuda)                   \
  X(row_product_cuda)              \
  X(sample_rows_cuda)              \
  X(swiglu_forward_cuda)           \
  X(swiglu_backward_cuda)          \
  X(tree_attention_forward_cuda)   \
  X(tree_attention_backward_cuda)

struct Table {
#define MAGRPO_ENTRY(name) decltype(&core::cuda::name) name;
  MAGRPO_RUNTIME_FUNCTIONS(MAGRPO_ENTRY)
#undef MAGRPO_ENTRY
#define MAGRPO_ENTRY(name) decltype(&kernels::name) name;
  MAGRPO_KERNEL_FUNCTIONS(MAGRPO_ENTRY)
#undef MAGRPO_ENTRY
  // Operations that made the host wait since the last call, by reason.
  std::map<std::string, int64_t> (*take_waits)();
  // Most bytes of a device that were in use at once since the last call.
  int64_t (*take_peak)(int device);
};

// The function of the library that returns its table, and its type.
inline constexpr const char* kTableFunction = "magrpo_software_cuda";
using TableFunction = const Table* (*)();

// The table, or null where no software device is loaded.
const Table* table();

// Loads the library from beside the file this is compiled into, if MAGRPO_DEVICE is "software". Call before anything else asks libtorch
// for CUDA: it remembers the answer. Throws ERR_DEVICE if the library cannot be loaded, or for another value of the variable.
void load_if_wanted();

}  // namespace magrpo::software_cuda
