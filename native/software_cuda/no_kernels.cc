// The kernels' CUDA versions in builds without CUDA: those of the software device, the only one whose tensors may come here.
#include "software_cuda/table.h"

namespace magrpo::kernels {
namespace {

const software_cuda::Table& table() { return *software_cuda::table(); }

}  // namespace

void read_logits_cuda(const float* logits, int64_t rows, int64_t n, const int64_t* targets, float* log_probs, float* log_sums,
                      float* entropies, core::CudaStream stream) {
  table().read_logits_cuda(logits, rows, n, targets, log_probs, log_sums, entropies, stream);
}

void logit_gradients_cuda(float* logits, int64_t rows, int64_t n, const int64_t* targets, const float* log_sums, const float* entropies,
                          const float* d_log_probs, const float* d_entropies, core::CudaStream stream) {
  table().logit_gradients_cuda(logits, rows, n, targets, log_sums, entropies, d_log_probs, d_entropies, stream);
}

void shape_logits_cuda(float* logits, int64_t rows, int64_t n, const LogitShape& shape, const uint8_t* marks, core::CudaStream stream) {
  table().shape_logits_cuda(logits, rows, n, shape, marks, stream);
}

void mark_negative_cuda(const float* logits, int64_t rows, int64_t n, uint8_t* marks, core::CudaStream stream) {
  table().mark_negative_cuda(logits, rows, n, marks, stream);
}

void unshape_gradients_cuda(float* gradients, int64_t rows, int64_t n, const LogitShape& shape, const uint8_t* marks,
                            core::CudaStream stream) {
  table().unshape_gradients_cuda(gradients, rows, n, shape, marks, stream);
}

void low_rank_add_cuda(const LowRankProduct& product, int64_t begin, int64_t end, core::CudaStream stream) {
  table().low_rank_add_cuda(product, begin, end, stream);
}

void rms_norm_forward_cuda(const NormShape& shape, const float* x, const float* weight, int64_t tokens, float* y, float* inverse,
                           core::CudaStream stream) {
  table().rms_norm_forward_cuda(shape, x, weight, tokens, y, inverse, stream);
}

void rms_norm_backward_cuda(const NormShape& shape, const float* x, const float* weight, const float* inverse, const float* d_y,
                            int64_t tokens, float* d_x, float* d_weight_parts, core::CudaStream stream) {
  table().rms_norm_backward_cuda(shape, x, weight, inverse, d_y, tokens, d_x, d_weight_parts, stream);
}

void rotary_cuda(const RotaryShape& shape, const float* x, const float* cos, const float* sin, int64_t tokens, float* y,
                 core::CudaStream stream) {
  table().rotary_cuda(shape, x, cos, sin, tokens, y, stream);
}

void row_product_cuda(const RowProduct& product, int64_t begin, int64_t end, core::CudaStream stream) {
  table().row_product_cuda(product, begin, end, stream);
}

void sample_rows_cuda(const SampleRows& sample, core::CudaStream stream) { table().sample_rows_cuda(sample, stream); }

void swiglu_forward_cuda(Activation activation, const float* gate_up, int64_t size, int64_t rows, float* y, core::CudaStream stream) {
  table().swiglu_forward_cuda(activation, gate_up, size, rows, y, stream);
}

void swiglu_backward_cuda(Activation activation, const float* gate_up, const float* d_y, int64_t size, int64_t rows, float* d_gate_up,
                          core::CudaStream stream) {
  table().swiglu_backward_cuda(activation, gate_up, d_y, size, rows, d_gate_up, stream);
}

void tree_attention_forward_cuda(const AttentionShape& shape, const AttentionPointers& data, const AttentionPlanView& plan, float* partials,
                                 core::CudaStream stream) {
  table().tree_attention_forward_cuda(shape, data, plan, partials, stream);
}

void tree_attention_backward_cuda(const AttentionShape& shape, const AttentionPointers& data, const AttentionGradients& gradients,
                                  const AttentionPlanView& plan, int64_t queries, float* delta, core::CudaStream stream) {
  table().tree_attention_backward_cuda(shape, data, gradients, plan, queries, delta, stream);
}

}  // namespace magrpo::kernels
