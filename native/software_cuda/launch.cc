#include "software_cuda/launch.h"

#include <c10/util/Exception.h>

#include "software_cuda/current.h"
#include "software_cuda/graph.h"
#include "software_cuda/memory.h"

namespace magrpo::software_cuda {

Launch::Launch(core::CudaStream stream) : device_(current_device()), stream_(stream_of(stream)) {
  const Lock lock(state_mutex());
  begin_work(stream_);
}

void* Launch::use(const void* address, bool is_written, int number) {
  if (address == nullptr) return nullptr;
  const Lock lock(state_mutex());
  Block* block = find_block(address);
  TORCH_CHECK(block != nullptr, "Software device: expected parameter ", number, " of a kernel to point into memory of cuda:", device_,
              " but it points to ", address, ", which is memory of the host or was freed.");
  TORCH_CHECK(block->device == device_, "Software device: expected parameter ", number,
              " of a kernel to point into memory of cuda:", device_, ", the current device, but it points into ", name_of(*block), ".");
  block->history.use(stream_, is_written, name_of(*block));
  return content_of(address);
}

void run(Launch&, std::function<void()> work) {
  work();
  if (is_recording()) add_to_graph(std::move(work));
}

}  // namespace magrpo::software_cuda
