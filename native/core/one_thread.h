// Restricts a thread to single-threaded operations.
#pragma once

namespace magrpo::core {

// Makes libtorch's operations, including MKL's products, single-threaded on the calling thread from now on. Other threads are not
// affected: at::set_num_threads(1) would also become the default of every thread that uses libtorch later.
void compute_on_one_thread();

}  // namespace magrpo::core
