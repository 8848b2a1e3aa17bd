// A small test harness: TEST registers a test, EXPECT and its kin record failures and go on.
#pragma once

#include <cmath>
#include <sstream>
#include <string>

#include "core/errors.h"

namespace magrpo::test {

struct Registration {
  Registration(const char* title, void (*run)());
};

// Records a failure of the running test.
void fail(const char* file, int line, const std::string& text);

// Within `tolerance` of each other, or the very same value; a NaN is near nothing.
inline bool near(double a, double b, double tolerance) { return a == b || std::abs(a - b) <= tolerance; }

}  // namespace magrpo::test

#define MAGRPO_JOIN_(a, b) a##b
#define MAGRPO_JOIN(a, b) MAGRPO_JOIN_(a, b)

#define TEST(title)                                                                                                  \
  static void MAGRPO_JOIN(test_, __LINE__)();                                                                        \
  static const magrpo::test::Registration MAGRPO_JOIN(registration_, __LINE__)(title, MAGRPO_JOIN(test_, __LINE__)); \
  static void MAGRPO_JOIN(test_, __LINE__)()

// Further arguments say what was being checked; they are printed if it fails.
#define EXPECT(condition, ...)                                                                                                             \
  do {                                                                                                                                     \
    if (!(condition)) magrpo::test::fail(__FILE__, __LINE__, magrpo::core::concat("expected " #condition " " __VA_OPT__(, ) __VA_ARGS__)); \
  } while (false)

#define EXPECT_NEAR(actual, expected, tolerance, ...)                                                                             \
  do {                                                                                                                            \
    const double actual_ = (actual), expected_ = (expected), tolerance_ = (tolerance);                                            \
    if (!magrpo::test::near(actual_, expected_, tolerance_))                                                                      \
      magrpo::test::fail(__FILE__, __LINE__,                                                                                      \
                         magrpo::core::concat("expected " #actual " = ", expected_, " ± ", tolerance_, " but received ", actual_, \
                                              " " __VA_OPT__(, ) __VA_ARGS__));                                                   \
  } while (false)

// The statement throws a magrpo::core::Error with this code.
#define EXPECT_THROWS(expected_code, statement)                                                                                            \
  do {                                                                                                                                     \
    std::string code_ = "no error";                                                                                                        \
    try {                                                                                                                                  \
      statement;                                                                                                                           \
    } catch (const magrpo::core::Error& error) {                                                                                           \
      code_ = error.code();                                                                                                                \
    }                                                                                                                                      \
    if (code_ != (expected_code))                                                                                                          \
      magrpo::test::fail(__FILE__, __LINE__, magrpo::core::concat("expected " expected_code " from " #statement " but received ", code_)); \
  } while (false)
