// Switching between the threads of a block without a system call: a kernel's barrier would cost two of them per thread otherwise.
#pragma once

#if !defined(__x86_64__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MAGRPO_FIBER_UCONTEXT
#include <ucontext.h>
#endif

#include <cstddef>

namespace magrpo::software_cuda {

// A place of execution: a stack, and where on it to go on. A default one receives the caller's place when it is left.
class Fiber {
 public:
  // Begins `entry`, which never returns, on a stack of `size` bytes at its first `enter`.
  void prepare(char* stack, size_t size, void (*entry)());

  // Goes on with this fiber; `from` receives where the caller stands.
  void enter(Fiber& from);

 private:
#if defined(MAGRPO_FIBER_UCONTEXT)
  ucontext_t context_;
#else
  void* stack_pointer_ = nullptr;
#endif
};

}  // namespace magrpo::software_cuda
