// Errors with a stable code: the same codes as lib/base/errors.ts.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace magrpo::core {

template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// Every intended error of the core. `code` is one of lib/base/errors.ts's codes; the message, concatenated from its parts, names the
// expected and the received value.
class Error : public std::runtime_error {
 public:
  template <typename... Parts>
  explicit Error(std::string code, const Parts&... message) : std::runtime_error(concat(message...)), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

// Throws an error with `code` and the concatenated parts unless `condition` holds.
template <typename... Parts>
void check(bool condition, const char* code, const Parts&... parts) {
  if (!condition) throw Error(code, parts...);
}

// The same with ERR_ARGUMENT.
template <typename... Parts>
void check_argument(bool condition, const Parts&... parts) {
  check(condition, "ERR_ARGUMENT", parts...);
}

}  // namespace magrpo::core
