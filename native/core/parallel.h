// Loops of a few microseconds, shared with threads that are awake. OpenMP assigns equal parts and waits for all of them: one thread that
// has to be woken, or is preempted, delays every loop. Here each thread takes the next part when it has finished one, and the caller
// does not wait for helpers that have not started.
#pragma once

#include <cstdint>

namespace magrpo::core {

using LoopWork = void (*)(const void* work, int64_t begin, int64_t end);

// Use parallel_for.
void run_shared_loop(int64_t size, int64_t part, int threads, LoopWork call, const void* work);
int loop_thread_count();

// Calls work(begin, end) for parts of [0, size), each of at least `grain` except the last, on up to libtorch's number of threads. Runs on
// the calling thread alone within a parallel region of libtorch, or while another thread's loop uses the helpers. Rethrows the first
// exception of work. Meant for chains of short loops: helpers keep spinning for a while after each (kSpinTime), and compete with
// OpenMP's threads meanwhile.
template <class Work>
void parallel_for(int64_t size, int64_t grain, const Work& work) {
  if (size <= 0) return;
  const int threads = size > grain ? loop_thread_count() : 1;
  if (threads == 1) return work(int64_t{0}, size);
  // One part per thread: more would let others take over from a preempted thread, but cost too much in loops this short.
  const int64_t part = (size + threads - 1) / threads;
  run_shared_loop(
      size, part < grain ? grain : part, threads,
      [](const void* w, int64_t begin, int64_t end) { (*static_cast<const Work*>(w))(begin, end); }, &work);
}

}  // namespace magrpo::core
