// core/device_cuda.h for builds without CUDA: what the software device says, or that there is none.
#include "software_cuda/table.h"

namespace magrpo::core::cuda {

using software_cuda::table;

std::string unavailable_reason() { return table() == nullptr ? "cpu_build" : table()->unavailable_reason(); }
std::string variant() { return table() == nullptr ? "cpu" : table()->variant(); }
int device_count() { return table() == nullptr ? 0 : table()->device_count(); }
bool pins_memory() { return table() != nullptr && table()->pins_memory(); }
std::shared_ptr<const c10::Stream> make_model_stream(const c10::Device& device) {
  return table() == nullptr ? nullptr : table()->make_model_stream(device);
}

// Only for devices, and without the table there are none.
Memory device_memory(const c10::Device& device) { return table()->device_memory(device); }
std::string device_name(const c10::Device& device) { return table()->device_name(device); }
CudaStream current_stream() { return table()->current_stream(); }
std::shared_ptr<c10::Event> record_event(const c10::Device& device) { return table()->record_event(device); }
void synchronize(const c10::Event& event) { table()->synchronize(event); }
std::shared_ptr<void> make_guard(const c10::Device& device, const c10::Stream* stream) { return table()->make_guard(device, stream); }
std::unique_ptr<Graph> record_graph(const c10::Device& device, const std::function<void()>& work) {
  return table()->record_graph(device, work);
}

}  // namespace magrpo::core::cuda
