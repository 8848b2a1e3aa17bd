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
#include "test/tiny_decoder.h"

namespace magrpo::kernels {
namespace {

using test::largest_difference;
using test::random;

at::Tensor unwritten(at::IntArrayRef shape) { return at::full(shape, NAN, at::kFloat); }
const float* in(const at::Tensor& x) { return x.const_data_ptr<float>(); }
float* out(const at::Tensor& x) { return x.mutable_data_ptr<float>(); }

}  // namespace

TEST("rms norm: kernel and reference agree, forward and backward") {
  for (const int64_t heads : {1, 3})
    for (const int64_t size : {1, 5, 8, 64, 97}) {
      const int64_t tokens = 7, stride = heads * size + 4;
      const NormShape shape{heads, size, stride, 1e-5f};
      const at::Tensor x = random({tokens, stride}, 1), weight = random({size}, 2), d_y = random({tokens, heads * size}, 3);
      at::Tensor y[2], inverse[2], d_x[2], d_weight[2];
      for (int k = 0; k < 2; ++k) {
        y[k] = unwritten({tokens, heads * size});
        inverse[k] = unwritten({tokens * heads});
        d_x[k] = unwritten({tokens, heads * size});
        d_weight[k] = at::zeros({size}, at::kFloat);
        (k == 0 ? rms_norm_forward : rms_norm_forward_reference)(shape, in(x), in(weight), 0, tokens, out(y[k]), out(inverse[k]));
        (k == 0 ? rms_norm_backward : rms_norm_backward_reference)(shape, in(x), in(weight), in(inverse[k]), in(d_y), 0, tokens,
                                                                   out(d_x[k]), out(d_weight[k]));
      }
      for (const auto* pair : {y, inverse, d_x, d_weight})
        EXPECT(largest_difference(pair[0] / (1 + pair[1].abs()), pair[1] / (1 + pair[1].abs())) < 1e-5, heads, " ", size);
    }
}

TEST("rotary: kernel and reference agree; the inverse turns back") {
  const int64_t tokens = 5, heads = 3, dim = 10, stride = 37;
  const at::Tensor x = random({tokens, stride}, 1), angles = random({tokens, dim / 2}, 2);
  const at::Tensor cos = angles.cos(), sin = angles.sin();
  at::Tensor y = unwritten({tokens, heads * dim}), expected = unwritten({tokens, heads * dim}), back = unwritten({tokens, heads * dim});
  rotary({heads, dim, stride, 1.0f}, in(x), in(cos), in(sin), 0, tokens, out(y));
  rotary_reference({heads, dim, stride, 1.0f}, in(x), in(cos), in(sin), 0, tokens, out(expected));
  rotary({heads, dim, heads * dim, -1.0f}, in(y), in(cos), in(sin), 0, tokens, out(back));
  EXPECT(largest_difference(y, expected) < 1e-6);
  EXPECT(largest_difference(back, x.narrow(1, 0, heads * dim)) < 1e-6);
}

TEST("swiglu: kernel and reference agree, at extreme gates too") {
  for (const int64_t size : {1, 7, 16, 33}) {
    at::Tensor gate_up = random({4, 2 * size}, 1) * 4.0;
    gate_up.narrow(0, 1, 1).fill_(-200.0);
    gate_up.narrow(0, 2, 1).fill_(200.0);
    const at::Tensor d_y = random({4, size}, 2);
    at::Tensor y = unwritten({4, size}), expected = unwritten({4, size}), d = unwritten({4, 2 * size}), d_expected = unwritten({4, 2 * size});
    swiglu_forward(in(gate_up), size, 0, 4, out(y));
    swiglu_forward_reference(in(gate_up), size, 0, 4, out(expected));
    swiglu_backward(in(gate_up), in(d_y), size, 0, 4, out(d));
    swiglu_backward_reference(in(gate_up), in(d_y), size, 0, 4, out(d_expected));
    EXPECT(largest_difference(y / (1 + expected.abs()), expected / (1 + expected.abs())) < 2e-6, size);
    EXPECT(largest_difference(d / (1 + d_expected.abs()), d_expected / (1 + d_expected.abs())) < 2e-6, size);
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
