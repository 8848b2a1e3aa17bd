// The rotary embedding against loops in double, and back.
#include <ATen/TensorOperators.h>

#include "kernels/rotary/rotary.h"
#include "test/harness.h"
#include "test/kernel_versions.h"
#include "test/tensors.h"
#include "test/tiny_decoder.h"

namespace magrpo::kernels {
namespace {

using test::in;
using test::kVersions;
using test::largest_difference;
using test::name_of;
using test::out;
using test::random;
using test::unwritten;
using test::Version;

void rotation(Version version, const RotaryShape& shape, const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, int64_t tokens,
              const at::Tensor& y) {
  if (version == Version::kCpu) rotary(shape, in(x), in(cos), in(sin), 0, tokens, out(y));
  else rotary_cuda(shape, in(x), in(cos), in(sin), tokens, out(y), nullptr);
}

}  // namespace

TEST("rotary: every version agrees with the reference; the inverse rotates back") {
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

}  // namespace magrpo::kernels
