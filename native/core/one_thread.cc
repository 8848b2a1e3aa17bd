#include "core/one_thread.h"

#include <ATen/Parallel.h>

// Part of the libraries that libtorch ships, where it ships them.
#if defined(__linux__)
extern "C" {
__attribute__((weak)) void omp_set_num_threads(int count);
__attribute__((weak)) int MKL_Set_Num_Threads_Local(int count);
}
#endif

namespace magrpo::core {

void compute_on_one_thread() {
#if defined(__linux__)
  if (omp_set_num_threads != nullptr) {
    at::get_num_threads();  // libtorch initializes a thread's count at its first use
    omp_set_num_threads(1);
    if (MKL_Set_Num_Threads_Local != nullptr) MKL_Set_Num_Threads_Local(1);
    return;
  }
#endif
  at::set_num_threads(1);
}

}  // namespace magrpo::core
