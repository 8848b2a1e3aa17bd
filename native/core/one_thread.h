// A thread that computes alone, beside others that do not.
#pragma once

namespace magrpo::core {

// Makes libtorch's operations, MKL's products among them, use the calling thread alone from now on. Other threads keep their number:
// at::set_num_threads(1) would also be taken over by every thread that uses libtorch for the first time later.
void compute_on_one_thread();

}  // namespace magrpo::core
