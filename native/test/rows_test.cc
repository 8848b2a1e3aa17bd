// Kernels of single rows (norm, rotation, gate) against loops in double, forward and backward, at odd sizes and strides.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "kernels/rms_norm.h"
#include "kernels/rotary.h"
#include "kernels/swiglu.h"
#include "model/rms_norm.h"
#include "model/rotary.h"
#include "model/swiglu.h"
#include "test/harness.h"
#include "test/kernel_versions.h"
#include "test/tiny_decoder.h"

namespace magrpo::kernels {
namespace {

using test::kVersions;
using test::largest_difference;
using test::name_of;
using test::random;
using test::Version;

at::Tensor unwritten(at::IntArrayRef shape) { return at::full(shape, NAN, at::kFloat); }
const float* in(const at::Tensor& x) { return x.const_data_ptr<float>(); }
float* out(const at::Tensor& x) { return x.mutable_data_ptr<float>(); }

// Each kernel as one function for all its versions, over all rows.
void norm_forward(Version version, const NormShape& shape, const at::Tensor& x, const at::Tensor& weight, int64_t tokens,
                  const at::Tensor& y, const at::Tensor& inverse) {
  if (version == Version::kCpu) rms_norm_forward(shape, in(x), in(weight), 0, tokens, out(y), out(inverse));
  else rms_norm_forward_cuda(shape, in(x), in(weight), tokens, out(y), out(inverse), nullptr);
}

void norm_backward(Version version, const NormShape& shape, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& inverse,
                   const at::Tensor& d_y, int64_t tokens, const at::Tensor& d_x, const at::Tensor& d_weight) {
  if (version == Version::kCpu)
    return rms_norm_backward(shape, in(x), in(weight), in(inverse), in(d_y), 0, tokens, out(d_x), out(d_weight));
  const at::Tensor shares = unwritten({norm_shares(tokens), shape.size});
  rms_norm_backward_cuda(shape, in(x), in(weight), in(inverse), in(d_y), tokens, out(d_x), out(shares), nullptr);
  d_weight.add_(shares.sum(0));
}

void rotation(Version version, const RotaryShape& shape, const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
              int64_t tokens, const at::Tensor& y) {
  if (version == Version::kCpu) rotary(shape, in(x), in(cos), in(sin), 0, tokens, out(y));
  else rotary_cuda(shape, in(x), in(cos), in(sin), tokens, out(y), nullptr);
}

void gate(Version version, const at::Tensor& gate_up, const at::Tensor& d_y, const at::Tensor& y, const at::Tensor& d_gate_up) {
  const int64_t rows = gate_up.size(0), size = gate_up.size(1) / 2;
  if (version == Version::kCpu) {
    swiglu_forward(in(gate_up), size, 0, rows, out(y));
    swiglu_backward(in(gate_up), in(d_y), size, 0, rows, out(d_gate_up));
  } else {
    swiglu_forward_cuda(in(gate_up), size, rows, out(y), nullptr);
    swiglu_backward_cuda(in(gate_up), in(d_y), size, rows, out(d_gate_up), nullptr);
  }
}

// Relative to numbers above 1.
double relative_difference(const at::Tensor& seen, const at::Tensor& expected) {
  return largest_difference(seen / (1 + expected.abs()), expected / (1 + expected.abs()));
}

}  // namespace

TEST("rms norm: every version agrees with the reference, forward and backward") {
  for (const int64_t heads : {1, 3})
    for (const int64_t size : {1, 5, 8, 64, 97, 300})
      for (const int64_t tokens : {7, 67}) {
        const int64_t stride = heads * size + 4;
        const NormShape shape{heads, size, stride, 1e-5f};
        const at::Tensor x = random({tokens, stride}, 1), weight = random({size}, 2), d_y = random({tokens, heads * size}, 3);
        const at::Tensor y = unwritten({tokens, heads * size}), inverse = unwritten({tokens * heads});
        const at::Tensor d_x = unwritten({tokens, heads * size}), d_weight = at::zeros({size}, at::kFloat);
        rms_norm_forward_reference(shape, in(x), in(weight), 0, tokens, out(y), out(inverse));
        rms_norm_backward_reference(shape, in(x), in(weight), in(inverse), in(d_y), 0, tokens, out(d_x), out(d_weight));
        for (const Version version : kVersions) {
          const at::Tensor seen_y = unwritten(y.sizes()), seen_inverse = unwritten(inverse.sizes());
          const at::Tensor seen_d_x = unwritten(d_x.sizes()), seen_d_weight = at::zeros({size}, at::kFloat);
          norm_forward(version, shape, x, weight, tokens, seen_y, seen_inverse);
          norm_backward(version, shape, x, weight, seen_inverse, d_y, tokens, seen_d_x, seen_d_weight);
          EXPECT(relative_difference(seen_y, y) < 1e-5, name_of(version), " ", heads, " ", size);
          EXPECT(relative_difference(seen_inverse, inverse) < 1e-5, name_of(version), " ", heads, " ", size);
          EXPECT(relative_difference(seen_d_x, d_x) < 1e-5, name_of(version), " ", heads, " ", size);
          EXPECT(relative_difference(seen_d_weight, d_weight) < 1e-5, name_of(version), " ", heads, " ", size);
        }
      }
}

TEST("rotary: every version agrees with the reference; the inverse turns back") {
  const int64_t tokens = 5, heads = 3, dim = 10, stride = 37;
  const at::Tensor x = random({tokens, stride}, 1), angles = random({tokens, dim / 2}, 2);
  const at::Tensor cos = angles.cos(), sin = angles.sin(), expected = unwritten({tokens, heads * dim});
  rotary_reference({heads, dim, stride, 1.0f}, in(x), in(cos), in(sin), 0, tokens, out(expected));
  for (const Version version : kVersions) {
    const at::Tensor y = unwritten({tokens, heads * dim}), back = unwritten({tokens, heads * dim});
    rotation(version, {heads, dim, stride, 1.0f}, x, cos, sin, tokens, y);
    rotation(version, {heads, dim, heads * dim, -1.0f}, y, cos, sin, tokens, back);
    EXPECT(largest_difference(y, expected) < 1e-6, name_of(version));
    EXPECT(largest_difference(back, x.narrow(1, 0, heads * dim)) < 1e-6, name_of(version));
  }
}

TEST("swiglu: every version agrees with the reference, at extreme gates too") {
  for (const int64_t size : {1, 7, 16, 33, 130}) {
    at::Tensor gate_up = random({4, 2 * size}, 1) * 4.0;
    gate_up.narrow(0, 1, 1).fill_(-200.0);
    gate_up.narrow(0, 2, 1).fill_(200.0);
    const at::Tensor d_y = random({4, size}, 2), expected = unwritten({4, size}), d_expected = unwritten({4, 2 * size});
    swiglu_forward_reference(in(gate_up), size, 0, 4, out(expected));
    swiglu_backward_reference(in(gate_up), in(d_y), size, 0, 4, out(d_expected));
    for (const Version version : kVersions) {
      const at::Tensor y = unwritten({4, size}), d = unwritten({4, 2 * size});
      gate(version, gate_up, d_y, y, d);
      EXPECT(relative_difference(y, expected) < 2e-6, name_of(version), " ", size);
      EXPECT(relative_difference(d, d_expected) < 2e-6, name_of(version), " ", size);
    }
  }
}

TEST("rows: the model's operations differentiate as what they are composed of") {
  const auto gradients = [](const auto& work, std::vector<at::Tensor> inputs, at::ScalarType type) {
    for (auto& input : inputs) input = input.to(type).detach().requires_grad_(true);
    const at::Tensor y = work(inputs);
    (y * random(y.sizes(), 9).to(type)).sum().backward();
    std::vector<at::Tensor> result{y.detach()};
    for (const auto& input : inputs) result.push_back(input.grad());
    return result;
  };
  const auto check = [&](const char* name, const auto& work, const std::vector<at::Tensor>& inputs) {
    const auto seen = gradients(work, inputs, at::kFloat), expected = gradients(work, inputs, at::kDouble);
    for (size_t i = 0; i < seen.size(); ++i) EXPECT(largest_difference(seen[i], expected[i]) < 1e-5, name, " ", i);
  };
  using Inputs = std::vector<at::Tensor>;
  check("norm of strided heads", [](const Inputs& x) {
    return model::rms_norm(x[0].narrow(1, 3, 12).view({150, 2, 6}), x[1], 1e-5); }, {random({150, 18}, 1), random({6}, 2)});
  check("norm", [](const Inputs& x) { return model::rms_norm(x[0], x[1], 1e-5); }, {random({3, 24}, 3), random({24}, 4)});
  const model::Rotation rotation{random({5, 1, 4}, 5).cos(), random({5, 1, 4}, 5).sin()};
  check("rotation", [&](const Inputs& x) {
    return model::rotate(x[0].narrow(1, 1, 16).view({5, 2, 8}), rotation); }, {random({5, 20}, 6)});
  check("gate", [](const Inputs& x) { return model::swiglu(x[0]); }, {random({9, 14}, 7)});
}

}  // namespace magrpo::kernels
