// Loops of microseconds, shared with threads that are awake. OpenMP deals out equal parts and waits for all of them, so that a
// thread which must be woken, or which another program holds up, holds up everyone at every loop; here each thread takes the
// next part when it is done with one, and nobody waits for a helper that has not begun (decoding of a small LoRA team: 2.3 to 2.8
// times as quick where waking is slow).
#pragma once

#include <cstdint>
#include <type_traits>

namespace magrpo::core {

using LoopWork = void (*)(const void* work, int64_t begin, int64_t end);

// Use parallel_for.
void share_loop(int64_t size, int64_t part, int threads, LoopWork call, const void* work);
int loop_threads();

// Calls work(begin, end) for parts of [0, size), each of at least `grain` but the last, on up to libtorch's number of threads;
// here alone within a parallel region of libtorch's, or while another thread's loop has the helpers. What work throws is thrown.
// For chains of short loops: helpers stay awake for a while after each (kAwake), in the way of OpenMP's threads.
template <class Work>
void parallel_for(int64_t size, int64_t grain, const Work& work) {
  if (size <= 0) return;
  const int threads = size > grain ? loop_threads() : 1;
  if (threads == 1) return work(int64_t{0}, size);
  // A part a thread: with more of them, one that is held up would leave its share to the others, but loops this short pay for it.
  const int64_t part = (size + threads - 1) / threads;
  share_loop(size, part < grain ? grain : part, threads,
             [](const void* w, int64_t begin, int64_t end) { (*static_cast<const Work*>(w))(begin, end); }, &work);
}

}  // namespace magrpo::core
