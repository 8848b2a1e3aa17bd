// magrpo_test [WORDS]: runs the tests whose titles contain WORDS, or all. The last line is `N passed, N failed`; exit code 3: no title
// contains them.
#include <ATen/Parallel.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <vector>

#include "test/harness.h"

namespace magrpo::test {
namespace {

struct Test {
  const char* title;
  void (*run)();
};

// In a function, as registrations run before main in any order.
std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

std::vector<std::string> failures;  // of the running test

bool passes(const Test& test) {
  failures.clear();
  try {
    test.run();
  } catch (const std::exception& error) {
    failures.push_back(core::concat("threw: ", error.what()));
  }
  std::printf("%s %s\n", failures.empty() ? "  ok  " : "FAILED", test.title);
  constexpr size_t kShown = 8;
  for (size_t i = 0; i < failures.size() && i < kShown; ++i) std::printf("    %s\n", failures[i].c_str());
  if (failures.size() > kShown) std::printf("    and %zu more\n", failures.size() - kShown);
  return failures.empty();
}

}  // namespace

Registration::Registration(const char* title, void (*run)()) { tests().push_back({title, run}); }

void fail(const char* file, int line, const std::string& text) {
  const char* name = std::strrchr(file, '/');
  failures.push_back(core::concat(name != nullptr ? name + 1 : file, ":", line, ": ", text));
}

}  // namespace magrpo::test

int main(int argc, char** argv) {
  using namespace magrpo::test;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  // The tensors are tiny: a second thread would only be waited for. Tests of threading ask for more themselves.
  at::set_num_threads(1);
  int passed = 0, failed = 0;
  for (const auto& test : tests()) {
    if (argc > 1 && std::strstr(test.title, argv[1]) == nullptr) continue;
    ++(passes(test) ? passed : failed);
  }
  if (argc > 1 && passed + failed == 0) {
    std::fprintf(stderr, "No test of %s has \"%s\" in its title.\n", argv[0], argv[1]);
    return 3;
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed > 0 ? 1 : 0;
}
