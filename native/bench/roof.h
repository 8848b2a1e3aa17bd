// What the machine allows, measured: how quickly memory is read, and how quickly libtorch multiplies matrices.
#pragma once

#include <cstdint>

namespace magrpo::bench {

// Bytes a second that all threads together read from one buffer of `bytes`, which they share out; the best of several passes over
// it, so that it is a roof. A buffer that fits a cache is read from there.
double read_bandwidth(int64_t bytes);

// Operations a second of the quickest of some square float32 products.
double product_peak();

}  // namespace magrpo::bench
