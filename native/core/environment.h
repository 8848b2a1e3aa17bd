// Switches of the environment.
#pragma once

#include <cstdlib>
#include <cstring>

namespace magrpo::core {

// Whether an environment variable is 1.
inline bool is_enabled(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && std::strcmp(value, "1") == 0;
}

}  // namespace magrpo::core
