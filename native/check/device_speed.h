// What a device gives at its best, measured in place: the roofs that a run's speed is held against.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace magrpo::check {

struct DeviceSpeed {
  double bytes_per_second;           // read and written by a large copy within the device
  double float32_flops_per_second;   // of libtorch's largest square product; a multiply-add is two
  double bfloat16_flops_per_second;
};

// The best of some rounds of a tenth of a second each. `bytes`: of the buffer that is copied, which should not fit a cache; `size`: of the
// matrices. Takes 2 x bytes, then 12 x size², of the device's memory.
DeviceSpeed measure_speed(const c10::Device& device, int64_t bytes, int64_t size);

}  // namespace magrpo::check
