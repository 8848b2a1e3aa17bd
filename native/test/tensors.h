// Names of check/tensors.h as the tests of kernels use them.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>

#include "check/tensors.h"
#include "test/tiny_decoder.h"

namespace magrpo::test {

using check::in;
using check::out;
using check::relative_difference;
using check::unwritten;

}  // namespace magrpo::test
