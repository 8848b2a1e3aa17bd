// How often the test program and the libraries it has loaded asked `operator new` for memory.
#pragma once

#include <cstdint>

namespace magrpo::test {

int64_t allocations();

}  // namespace magrpo::test
