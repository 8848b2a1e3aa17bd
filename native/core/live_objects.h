// Counts of objects alive in this process, for leak tests.
#pragma once

#include <atomic>

namespace magrpo::core {

// Inherit to be counted: `class Model : Counted<Model>`.
template <typename T>
class Counted {
 public:
  static int alive() { return count_.load(); }

 protected:
  Counted() { ++count_; }
  Counted(const Counted&) { ++count_; }
  ~Counted() { --count_; }

 private:
  static inline std::atomic<int> count_{0};
};

}  // namespace magrpo::core
