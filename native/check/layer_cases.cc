// Norms, rotations, gates, and products of few rows.
#include <ATen/TensorOperators.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "check/kernel_check.h"
#include "check/sizes.h"
#include "check/tensors.h"
#include "core/device_cuda.h"
#include "core/errors.h"
#include "kernels/low_rank/low_rank.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rotary/rotary.h"
#include "kernels/row_product/row_product.h"
#include "kernels/swiglu/swiglu.h"

namespace magrpo::check {
namespace {

using core::concat;
using core::cuda::current_stream;

Outputs norm(int64_t heads, int64_t size, int64_t tokens, const at::Device& device) {
  const int64_t stride = heads * size + 4;
  const kernels::NormShape shape{heads, size, stride, 1e-5f, heads == 3 ? 1.0f : 0.0f};
  const at::Tensor x = random({tokens, stride}, 1).to(device), weight = random({size}, 2).to(device),
                   d_y = random({tokens, heads * size}, 3).to(device);
  const at::Tensor y = unwritten({tokens, heads * size}, device), inverse = unwritten({tokens * heads}, device),
                   d_x = unwritten({tokens, heads * size}, device);
  at::Tensor d_weight = at::zeros({size}, at::kFloat);
  if (device.is_cuda()) {
    const at::Tensor parts = unwritten({kernels::norm_parts(tokens), size}, device);
    kernels::rms_norm_forward_cuda(shape, in(x), in(weight), tokens, out(y), out(inverse), current_stream());
    kernels::rms_norm_backward_cuda(shape, in(x), in(weight), in(inverse), in(d_y), tokens, out(d_x), out(parts), current_stream());
    d_weight = parts.sum(0);
  } else {
    kernels::rms_norm_forward(shape, in(x), in(weight), 0, tokens, out(y), out(inverse));
    kernels::rms_norm_backward(shape, in(x), in(weight), in(inverse), in(d_y), 0, tokens, out(d_x), out(d_weight));
  }
  return {{"y", y}, {"inverse", inverse}, {"d_x", d_x}, {"d_weight", d_weight}};
}

Outputs rotated(int64_t dim, float direction, const at::Device& device) {
  const int64_t tokens = 5, heads = 3, stride = heads * dim + 7;
  const at::Tensor x = random({tokens, stride}, 1).to(device), angles = random({tokens, dim / 2}, 2);
  const at::Tensor cos = angles.cos().to(device), sin = angles.sin().to(device), y = unwritten({tokens, heads * dim}, device);
  const kernels::RotaryShape shape{heads, dim, stride, direction};
  if (device.is_cuda()) kernels::rotary_cuda(shape, in(x), in(cos), in(sin), tokens, out(y), current_stream());
  else kernels::rotary(shape, in(x), in(cos), in(sin), 0, tokens, out(y));
  return {{"y", y}};
}

Outputs gated(kernels::Activation activation, int64_t size, const at::Device& device) {
  at::Tensor given = random({4, 2 * size}, 1) * 4.0;
  given.narrow(0, 1, 1).fill_(-200.0);
  given.narrow(0, 2, 1).fill_(200.0);
  const at::Tensor gate_up = given.to(device), d_y = random({4, size}, 2).to(device);
  const at::Tensor y = unwritten({4, size}, device), d_gate_up = unwritten({4, 2 * size}, device);
  if (device.is_cuda()) {
    kernels::swiglu_forward_cuda(activation, in(gate_up), size, 4, out(y), current_stream());
    kernels::swiglu_backward_cuda(activation, in(gate_up), in(d_y), size, 4, out(d_gate_up), current_stream());
  } else {
    kernels::swiglu_forward(activation, in(gate_up), size, 0, 4, out(y));
    kernels::swiglu_backward(activation, in(gate_up), in(d_y), size, 0, 4, out(d_gate_up));
  }
  return {{"y", y}, {"d_gate_up", d_gate_up}};
}

Outputs few_rows(int64_t rows, int64_t inner, int64_t outer, at::ScalarType type, bool adds, const at::Device& device) {
  const at::Tensor x = random({rows, inner + 3}, 1).to(device), weight = random({outer, inner}, 2).to(type).to(device),
                   bias = random({outer}, 3).to(device);
  const at::Tensor y = adds ? random({rows, outer}, 4).to(device) : unwritten({rows, outer}, device);
  const kernels::RowProduct product{
      in(x), weight.const_data_ptr(), in(bias), out(y), rows, inner, outer, inner + 3, outer, type == at::kBFloat16, adds ? -1.5f : 1.0f,
      adds};
  if (device.is_cuda()) kernels::row_product_cuda(product, 0, outer, current_stream());
  else kernels::row_product(product, 0, outer);
  return {{"y", y}};
}

Outputs low_rank(int64_t rows, int64_t rank, int64_t outer, bool is_turned, const at::Device& device) {
  const at::Tensor inner = random({rows, rank}, 1).to(device), y = random({rows, outer + 3}, 3).to(device);
  // B as a parameter is, (out, rank), is the device's alone.
  const at::Tensor whole = random({rank, outer}, 2).to(device), b = is_turned && device.is_cuda() ? whole.t().contiguous().t() : whole;
  const kernels::LowRankProduct product{.inner = in(inner),
                                        .b = in(b),
                                        .y = out(y),
                                        .rows = rows,
                                        .rank = rank,
                                        .out = outer,
                                        .b_rank_stride = b.stride(0),
                                        .b_out_stride = b.stride(1),
                                        .y_stride = outer + 3,
                                        .scale = 0.75f};
  if (device.is_cuda()) kernels::low_rank_add_cuda(product, 0, outer, current_stream());
  else kernels::low_rank_add(product, 0, outer);
  return {{"y", y}};
}

// A product of libtorch's. The bound in float32 is below what TensorFloat-32 would give, which nothing may turn on.
Outputs product(int64_t rows, int64_t inner, int64_t outer, at::ScalarType type, const at::Device& device) {
  const at::Tensor a = random({rows, inner}, 1).to(type), b = random({outer, inner}, 2).to(type);
  if (device.is_cpu()) return {{"y", at::mm(a.to(at::kFloat), b.to(at::kFloat).t())}};
  return {{"y", at::mm(a.to(device), b.to(device).t())}};
}

}  // namespace

void add_layer_cases(std::vector<KernelCase>& cases, bool quick) {
  using Sizes = std::vector<int64_t>;
  const auto sizes = [quick](Sizes some, Sizes all) { return quick ? some : all; };
  for (const int64_t heads : {1, 3})
    for (const int64_t size : sizes({5, 64, 128}, {1, 5, 8, 64, 97, 128, 256, 300, 1024, 2048, 4096}))
      for (const int64_t tokens : {7, 67})
        cases.push_back({"rms norm", concat(tokens, " x ", heads, " x ", size), "float32", 1e-5,
                         [=](const at::Device& device) { return norm(heads, size, tokens, device); }});
  for (const int64_t dim : head_sizes(quick))
    for (const float direction : {1.0f, -1.0f})
      cases.push_back({"rotary", concat("head size ", dim, direction < 0 ? ", back" : ""), "float32", 2e-6,
                       [=](const at::Device& device) { return rotated(dim, direction, device); }});
  for (const auto activation : {kernels::Activation::silu, kernels::Activation::gelu_tanh})
    for (const int64_t size : sizes({7, 130}, {1, 7, 16, 33, 130, 1000, 6144}))
      cases.push_back({activation == kernels::Activation::silu ? "gates, silu" : "gates, gelu", concat("4 x ", size), "float32", 4e-6,
                       [=](const at::Device& device) { return gated(activation, size, device); }});
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const std::string dtype = type == at::kFloat ? "float32" : "bfloat16";
    for (const int64_t rows : sizes({1, 5, 8}, {1, 2, 3, 4, 5, 6, 7, 8}))
      for (const int64_t inner : sizes({7, 100}, {1, 7, 8, 16, 31, 64, 100, 1024}))
        for (const int64_t outer : sizes({5, 64}, {1, 2, 3, 5, 10, 64}))
          for (const bool adds : {false, true})
            cases.push_back({"row product", concat(rows, " x ", inner, " x ", outer, adds ? ", added" : ""), dtype,
                             1e-5 * (1.0 + std::sqrt(static_cast<double>(inner))),
                             [=](const at::Device& device) { return few_rows(rows, inner, outer, type, adds, device); }});
    for (const int64_t inner : sizes({64}, {64, 512, 2048}))
      cases.push_back({"matrix product (libtorch)", concat("96 x ", inner, " x 80"), dtype, type == at::kFloat ? 1e-4 : 1e-2,
                       [=](const at::Device& device) { return product(96, inner, 80, type, device); }});
  }
  for (const int64_t rows : sizes({1, 8}, {1, 2, 3, 4, 5, 6, 7, 8}))
    for (const int64_t rank : sizes({8, 33}, {1, 2, 8, 16, 33, 64}))
      for (const int64_t outer : sizes({9, 150}, {1, 7, 8, 9, 31, 40, 150, 1000}))
        for (const bool is_turned : {false, true})
          cases.push_back({"low-rank product", concat(rows, " x ", rank, " x ", outer, is_turned ? ", B transposed" : ""), "float32",
                           2e-5 * std::sqrt(static_cast<double>(rank)),
                           [=](const at::Device& device) { return low_rank(rows, rank, outer, is_turned, device); }});
}

}  // namespace magrpo::check
