// Eight floats as one value, in the compiler's own vectors: two registers or one, by the level a clone is built for. To be passed
// between inlined functions only, as their calling convention depends on that level.
#pragma once

#include <cstring>

#include "kernels/simd.h"

#pragma GCC diagnostic ignored "-Wpsabi"

namespace magrpo::kernels {

typedef float Eight __attribute__((vector_size(32)));

MAGRPO_INLINE Eight load(const float* from) {
  Eight value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

MAGRPO_INLINE void store(float* to, Eight value) { std::memcpy(to, &value, sizeof value); }

}  // namespace magrpo::kernels
