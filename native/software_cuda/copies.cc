// Memory of tensors, copies, and what only looks at a tensor's shape.
#include <ATen/EmptyTensor.h>
#include <ATen/NativeFunctions.h>
#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <optional>

#include "software_cuda/current.h"
#include "software_cuda/graph.h"
#include "software_cuda/memory.h"
#include "software_cuda/operations.h"

namespace magrpo::software_cuda {
namespace {

const c10::DispatchKeySet kKeys(c10::DispatchKey::CUDA);

c10::Device cuda_or_current(std::optional<c10::Device> device) {
  return device && device->has_index() ? *device : c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(current_device()));
}

at::Tensor empty(c10::SymIntArrayRef sizes, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device> device, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard guard(cuda_or_current(device));
  return at::detail::empty_generic_symint(sizes, &device_allocator(), kKeys, c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(c10::SymIntArrayRef sizes, c10::SymIntArrayRef strides, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<at::Device> device, std::optional<bool>) {
  const c10::DeviceGuard guard(cuda_or_current(device));
  return at::detail::empty_strided_symint_generic(sizes, strides, &device_allocator(), kKeys, c10::dtype_or_default(dtype));
}

const at::Tensor& resize_(const at::Tensor& self, c10::SymIntArrayRef symbolic, std::optional<at::MemoryFormat>) {
  const auto sizes = C10_AS_INTARRAYREF_SLOW(symbolic);
  auto* impl = self.unsafeGetTensorImpl();
  if (self.sizes() == sizes) return self;
  impl->set_sizes_contiguous(sizes);
  const size_t bytes = static_cast<size_t>(self.storage_offset() + self.numel()) * self.element_size();
  auto* storage = self.storage().unsafeGetStorageImpl();
  if (bytes <= storage->nbytes()) return self;
  const c10::DeviceGuard guard(self.device());
  c10::DataPtr data = device_allocator().allocate(bytes);
  if (storage->nbytes() > 0) device_allocator().copy_data(data.get(), storage->data(), storage->nbytes());
  storage->set_data_ptr_noswap(std::move(data));
  storage->set_nbytes(bytes);
  return self;
}

at::Tensor on_host(const at::Tensor& tensor) { return tensor.is_cuda() ? content_of(tensor) : tensor; }

// The order of a copy: on the current stream of the device that is in it; between two devices after both of their streams.
void order_copy(const at::Tensor& to, const at::Tensor& from, bool is_pinned, bool non_blocking) {
  const Lock lock(state_mutex());
  const int stream = current_stream((from.is_cuda() ? from : to).get_device());
  const int target = to.is_cuda() ? current_stream(to.get_device()) : stream;
  if (target != stream) wait_on_stream(stream, clock_of(target));
  begin_work(stream);
  if (from.is_cuda()) use(from, stream, false);
  if (to.is_cuda()) use(to, stream, true);
  if (target != stream) wait_on_stream(target, clock_of(stream));
  if (from.is_cuda() && to.is_cuda()) return;
  const at::Tensor& host = from.is_cuda() ? to : from;
  if (non_blocking && is_pinned) return use_pinned(host.storage().data(), stream, from.is_cuda());
  // A copy from pageable memory goes through memory of the driver, so that the host need not wait if it does not want to.
  if (non_blocking && to.is_cuda()) return;
  wait_on_host(clock_of(stream), from.is_cuda() ? "copy to the host" : "copy to the device");
}

at::Tensor& copy_(at::Tensor& self, const at::Tensor& source, bool non_blocking) {
  if (self.numel() == 0) return self;
  const at::Tensor from = source.sizes() == self.sizes() ? source : source.expand_as(self);
  const bool is_pinned = non_blocking && !(self.is_cuda() && from.is_cuda()) && (self.is_cuda() ? from : self).is_pinned();
  order_copy(self, from, is_pinned, non_blocking);
  const auto copy = [to = self, from] {
    const PinnedAccess access;
    on_host(to).copy_(on_host(from));
  };
  copy();
  add_to_graph(copy);
  return self;
}

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& to, bool non_blocking) {
  at::Tensor target = to;
  return copy_(target, self, non_blocking);
}

at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& to) {
  if (to.numel() == 0) to.resize_(self.sizes());
  return copy_from(self, to, false);
}

at::Scalar item(const at::Tensor& self) {
  {
    const Lock lock(state_mutex());
    const int stream = current_stream(self.get_device());
    begin_work(stream);
    use(self, stream, false);
    wait_on_host(clock_of(stream), "item");
  }
  return content_of(self).item();
}

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("resize_", &resize_);
  m.impl("copy_", &copy_);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("_local_scalar_dense", &item);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", at::native::view);
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("unfold", at::native::unfold);
}

TORCH_LIBRARY_IMPL(aten, SparseCUDA, m) {
  m.impl("_sparse_coo_tensor_with_dims", at::native::new_with_dims_sparse);
  m.impl("_sparse_coo_tensor_with_dims_and_tensors", at::native::new_with_dims_and_tensor_sparse_symint);
  m.impl("sparse_dim", at::native::sparse_dim_sparse);
  m.impl("dense_dim", at::native::dense_dim_sparse);
  m.impl("_nnz", at::native::_nnz_sparse);
  m.impl("is_coalesced", at::native::is_coalesced_sparse);
  m.impl("_indices", at::native::_indices_sparse);
  m.impl("_values", at::native::_values_sparse);
  m.impl("_coalesced_", at::native::_coalesced_sparse_);
}

}  // namespace
}  // namespace magrpo::software_cuda
