#include "software_cuda/fiber.h"

#include <cstdint>

#if !defined(MAGRPO_FIBER_UCONTEXT)

// Saves what the x86-64 calling convention lets a function keep (System V ABI, 3.2.1), and goes on where `to` stopped.
// Kernels leave the modes of the floating point units alone.
extern "C" void magrpo_switch_fiber(void** from, void* to);
asm(R"(
.text
.p2align 4
.hidden magrpo_switch_fiber
.globl magrpo_switch_fiber
.type magrpo_switch_fiber, @function
magrpo_switch_fiber:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size magrpo_switch_fiber, .-magrpo_switch_fiber
)");

namespace magrpo::software_cuda {

void Fiber::prepare(char* stack, size_t size, void (*entry)()) {
  // As a call of `entry` finds it: 16 bytes aligned before its return address, which is never used.
  auto top = (reinterpret_cast<uintptr_t>(stack) + size) & ~uintptr_t{15};
  auto* words = reinterpret_cast<uintptr_t*>(top) - 8;
  for (int i = 0; i < 6; ++i) words[i] = 0;
  words[6] = reinterpret_cast<uintptr_t>(entry);
  words[7] = 0;
  stack_pointer_ = words;
}

void Fiber::enter(Fiber& from) { magrpo_switch_fiber(&from.stack_pointer_, stack_pointer_); }

}  // namespace magrpo::software_cuda

#else

namespace magrpo::software_cuda {

void Fiber::prepare(char* stack, size_t size, void (*entry)()) {
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack;
  context_.uc_stack.ss_size = size;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
}

void Fiber::enter(Fiber& from) { swapcontext(&from.context_, &context_); }

}  // namespace magrpo::software_cuda

#endif
