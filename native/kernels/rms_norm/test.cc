// RMS norm against loops in double, forward and backward, at odd sizes and strides.
#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include "kernels/rms_norm/rms_norm.h"
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

void norm_forward(Version version, const NormShape& shape, const at::Tensor& x, const at::Tensor& weight, int64_t tokens,
                  const at::Tensor& y, const at::Tensor& inverse) {
  if (version == Version::kCpu) rms_norm_forward(shape, in(x), in(weight), 0, tokens, out(y), out(inverse));
  else rms_norm_forward_cuda(shape, in(x), in(weight), tokens, out(y), out(inverse), nullptr);
}

void norm_backward(Version version, const NormShape& shape, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& inverse,
                   const at::Tensor& d_y, int64_t tokens, const at::Tensor& d_x, const at::Tensor& d_weight) {
  if (version == Version::kCpu)
    return rms_norm_backward(shape, in(x), in(weight), in(inverse), in(d_y), 0, tokens, out(d_x), out(d_weight));
  const at::Tensor shares = unwritten({norm_parts(tokens), shape.size});
  rms_norm_backward_cuda(shape, in(x), in(weight), in(inverse), in(d_y), tokens, out(d_x), out(shares), nullptr);
  d_weight.add_(shares.sum(0));
}

}  // namespace

TEST("rms norm: every version agrees with the reference, forward and backward") {
  for (const int64_t heads : {1, 3})
    for (const int64_t size : {1, 5, 8, 64, 97, 300})
      for (const int64_t tokens : {7, 67}) {
        const int64_t stride = heads * size + 4;
        const NormShape shape{heads, size, stride, 1e-5f, heads == 3 ? 1.0f : 0.0f};
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

}  // namespace magrpo::kernels
