// Gated activations against loops in double, forward and backward.
#include <ATen/TensorOperators.h>

#include "kernels/swiglu/swiglu.h"
#include "test/harness.h"
#include "test/kernel_versions.h"
#include "test/tensors.h"
#include "test/tiny_decoder.h"

namespace magrpo::kernels {
namespace {

using test::in;
using test::kVersions;
using test::name_of;
using test::out;
using test::random;
using test::relative_difference;
using test::unwritten;
using test::Version;

void gate(Version version, Activation activation, const at::Tensor& gate_up, const at::Tensor& d_y, const at::Tensor& y,
          const at::Tensor& d_gate_up) {
  const int64_t rows = gate_up.size(0), size = gate_up.size(1) / 2;
  if (version == Version::kCpu) {
    swiglu_forward(activation, in(gate_up), size, 0, rows, out(y));
    swiglu_backward(activation, in(gate_up), in(d_y), size, 0, rows, out(d_gate_up));
  } else {
    swiglu_forward_cuda(activation, in(gate_up), size, rows, out(y), nullptr);
    swiglu_backward_cuda(activation, in(gate_up), in(d_y), size, rows, out(d_gate_up), nullptr);
  }
}

}  // namespace

TEST("gated activations: every version agrees with the reference, at extreme gates too") {
  for (const Activation activation : {Activation::silu, Activation::gelu_tanh})
    for (const int64_t size : {1, 7, 16, 33, 130}) {
      at::Tensor gate_up = random({4, 2 * size}, 1) * 4.0;
      gate_up.narrow(0, 1, 1).fill_(-200.0);
      gate_up.narrow(0, 2, 1).fill_(200.0);
      const at::Tensor d_y = random({4, size}, 2), expected = unwritten({4, size}), d_expected = unwritten({4, 2 * size});
      swiglu_forward_reference(activation, in(gate_up), size, 0, 4, out(expected));
      swiglu_backward_reference(activation, in(gate_up), in(d_y), size, 0, 4, out(d_expected));
      for (const Version version : kVersions) {
        const at::Tensor y = unwritten({4, size}), d = unwritten({4, 2 * size});
        gate(version, activation, gate_up, d_y, y, d);
        EXPECT(relative_difference(y, expected) < 2e-6, name_of(version), " ", size);
        EXPECT(relative_difference(d, d_expected) < 2e-6, name_of(version), " ", size);
      }
    }
}

}  // namespace magrpo::kernels
