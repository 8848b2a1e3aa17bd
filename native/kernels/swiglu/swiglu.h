// Gated activation of the MLP (Shazeer 2020): y = act(gate) · up. Both activations are g · sigmoid(z): silu has z = g, the tanh
// approximation of gelu (Hendrycks & Gimpel 2016) z = 2 sqrt(2 / pi) (g + 0.044715 g³).
#pragma once

#include <cstdint>

#include "core/cuda_stream.h"

namespace magrpo::kernels {

// Spelt as in native/model/arch.
enum class Activation : int64_t { silu, gelu_tanh };

// Of gelu: 2 sqrt(2 / pi), and the weight of the cube.
constexpr float kGeluScale = 1.5957691216057308f, kGeluCube = 0.044715f;

// gate_up: contiguous (rows, 2 · size), the gate first; y: contiguous (rows, size). Rows [begin, end).
void swiglu_forward(Activation activation, const float* gate_up, int64_t size, int64_t begin, int64_t end, float* y);

// d_gate_up: contiguous (rows, 2 · size).
void swiglu_backward(Activation activation, const float* gate_up, const float* d_y, int64_t size, int64_t begin, int64_t end,
                     float* d_gate_up);

// The same on a CUDA device, queued on `stream`, for rows [0, rows).
void swiglu_forward_cuda(Activation activation, const float* gate_up, int64_t size, int64_t rows, float* y, core::CudaStream stream);
void swiglu_backward_cuda(Activation activation, const float* gate_up, const float* d_y, int64_t size, int64_t rows, float* d_gate_up,
                          core::CudaStream stream);

// The same as plain loops in double.
void swiglu_forward_reference(Activation activation, const float* gate_up, int64_t size, int64_t begin, int64_t end, float* y);
void swiglu_backward_reference(Activation activation, const float* gate_up, const float* d_y, int64_t size, int64_t begin, int64_t end,
                               float* d_gate_up);

}  // namespace magrpo::kernels
