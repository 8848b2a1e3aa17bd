// Gated activation of the MLP (Shazeer 2020): y = silu(gate) · up, silu(g) = g / (1 + exp(-g)).
#pragma once

#include <cstdint>

#include "core/cuda_stream.h"

namespace magrpo::kernels {

// gate_up: contiguous (rows, 2 · size), the gate first; y: contiguous (rows, size). Rows [begin, end).
void swiglu_forward(const float* gate_up, int64_t size, int64_t begin, int64_t end, float* y);

// d_gate_up: contiguous (rows, 2 · size).
void swiglu_backward(const float* gate_up, const float* d_y, int64_t size, int64_t begin, int64_t end, float* d_gate_up);

// The same on a CUDA device, queued on `stream`, for rows [0, rows).
void swiglu_forward_cuda(const float* gate_up, int64_t size, int64_t rows, float* y, core::CudaStream stream);
void swiglu_backward_cuda(const float* gate_up, const float* d_y, int64_t size, int64_t rows, float* d_gate_up, core::CudaStream stream);

// The same as plain loops in double.
void swiglu_forward_reference(const float* gate_up, int64_t size, int64_t begin, int64_t end, float* y);
void swiglu_backward_reference(const float* gate_up, const float* d_y, int64_t size, int64_t begin, int64_t end, float* d_gate_up);

}  // namespace magrpo::kernels
