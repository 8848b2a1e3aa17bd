// What becomes of a kernel launch on a software device: its pointers are checked and turned into addresses that may be touched.
// Without libtorch, as the kernels are.
#pragma once

#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "core/cuda_stream.h"
#include "software_cuda/members.h"

namespace magrpo::software_cuda {

// Use of memory by one launch on a stream of the current device, on this thread.
class Launch {
 public:
  // Throws if the stream belongs to another device than the current one.
  explicit Launch(core::CudaStream stream);

  // The address at which a kernel finds what stands at `device_address`, which stays null if it is null. `number` counts the kernel's
  // parameters, for messages. Throws for memory of the host or another device, for freed memory, and for memory that another
  // stream uses which this one has not waited for.
  void* use(const void* device_address, bool is_written, int number);

 private:
  int device_, stream_;
};

// Runs `work` now, and once more at each replay of the graph that this thread records, if it records one.
void run(Launch& launch, std::function<void()> work);

// Replaces the pointers in a parameter, which may be an aggregate of numbers and pointers.
template <typename T>
void use_pointers(Launch& launch, T& parameter, int number) {
  if constexpr (std::is_pointer_v<T>) {
    parameter = static_cast<T>(launch.use(parameter, !std::is_const_v<std::remove_pointer_t<T>>, number));
  } else if constexpr (std::is_class_v<T>) {
    for_members(parameter, [&](auto& member) { use_pointers(launch, member, number); });
  }
}

// Checks the pointers among the arguments and calls `kernel` with addresses that may be touched.
template <typename... Parameters, typename Kernel, typename... Arguments>
void launch(core::CudaStream stream, Kernel kernel, Arguments... arguments) {
  Launch launch(stream);
  std::tuple<Parameters...> parameters{arguments...};
  int number = 0;
  std::apply([&](auto&... parameter) { (use_pointers(launch, parameter, ++number), ...); }, parameters);
  run(launch, [=] { std::apply(kernel, parameters); });
}

}  // namespace magrpo::software_cuda
