#include "train/offload.h"

#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>

#include "core/device.h"
#include "core/device_cuda.h"

namespace magrpo::train {
namespace {

// Of the tensors in a buffer, so that kernels may read them in vectors.
constexpr int64_t kAlignment = 512;

int64_t rounded_up(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Makes what `later` is given from now on come after what `earlier` was given so far.
void order(const c10::Stream& earlier, const c10::Stream& later) {
  c10::Event event(earlier.device_type());
  event.record(earlier);
  event.block(later);
}

// Tensors like these in a buffer, with no content yet.
std::vector<at::Tensor> places_for(const std::vector<at::Tensor>& tensors, const at::Tensor& buffer) {
  std::vector<at::Tensor> result;
  int64_t begin = 0;
  for (const auto& tensor : tensors) {
    const auto bytes = static_cast<int64_t>(tensor.nbytes());
    result.push_back(buffer.narrow(0, begin, bytes).view(tensor.scalar_type()).view(tensor.sizes()));
    begin += rounded_up(bytes);
  }
  return result;
}

void copy_all(const std::vector<at::Tensor>& to, const std::vector<at::Tensor>& from, const c10::Stream& stream) {
  const c10::StreamGuard guard(stream);
  for (size_t i = 0; i < to.size(); ++i) to[i].copy_(from[i], /*non_blocking=*/true);
}

}  // namespace

at::TensorOptions host_options() {
  bool pinned = false;
  if constexpr (core::kHasCuda) pinned = core::build_variant().starts_with("cu") || core::cuda::pins_memory();
  return at::TensorOptions().device(at::kCPU).pinned_memory(pinned);
}

int64_t staged_bytes(const std::vector<at::Tensor>& tensors) {
  int64_t bytes = 0;
  for (const auto& tensor : tensors) bytes += rounded_up(static_cast<int64_t>(tensor.nbytes()));
  return bytes;
}

void stream_through(const at::Device& device, const std::vector<std::vector<at::Tensor>>& groups,
                    const std::function<void(size_t, const std::vector<at::Tensor>&)>& work) {
  int64_t most = 0;
  for (const auto& group : groups) most = std::max(most, staged_bytes(group));
  const c10::impl::VirtualGuardImpl streams(device.type());
  const c10::Stream own = streams.getStream(device), copies = streams.getStreamFromGlobalPool(device);
  std::vector<at::Tensor> buffers;
  while (buffers.size() < std::min<size_t>(2, groups.size()))
    buffers.push_back(at::empty({most}, at::TensorOptions().device(device).dtype(at::kByte)));
  // Their memory may be that of tensors which work is still reading.
  order(own, copies);
  std::vector<at::Tensor> next, current;
  const auto bring = [&](size_t group) {
    if (group == groups.size()) return;
    next = places_for(groups[group], buffers[group % 2]);
    // The stream has copied out what was there before.
    copy_all(next, groups[group], copies);
  };
  try {
    bring(0);
    for (size_t i = 0; i < groups.size(); ++i) {
      c10::Event arrived(device.type());
      arrived.record(copies);
      current = std::move(next);
      bring(i + 1);
      arrived.block(own);
      work(i, current);
      order(own, copies);
      copy_all(groups[i], current, copies);
    }
  } catch (...) {
    streams.synchronizeStream(copies);
    order(copies, own);
    throw;
  }
  streams.synchronizeStream(copies);
  // The buffers' memory goes to later work of the current stream.
  order(copies, own);
}

}  // namespace magrpo::train
