// Errors with a stable code: the same codes as lib/base/errors.ts.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace magrpo::core {

// Every intended error of the core. `code` is one of lib/base/errors.ts's codes; the message names the expected and the received value.
class Error : public std::runtime_error {
 public:
  Error(std::string code, const std::string& message) : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

// Thrown by a job that saw its cancel flag. JavaScript replaces it by the signal's reason.
class Cancelled : public Error {
 public:
  Cancelled() : Error("ERR_CANCELLED", "The job was cancelled.") {}
};

template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// Throws ERR_ARGUMENT with the concatenated parts unless `condition` holds.
template <typename... Parts>
void check_argument(bool condition, const Parts&... parts) {
  if (!condition) throw Error("ERR_ARGUMENT", concat(parts...));
}

}  // namespace magrpo::core
