#include "software_cuda/operations.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/_sparse_coo_tensor_unsafe.h>
#include <ATen/ops/empty_strided.h>
#include <c10/core/CPUAllocator.h>
#include <torch/library.h>

#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "software_cuda/current.h"
#include "software_cuda/graph.h"
#include "software_cuda/memory.h"

namespace magrpo::software_cuda {
namespace {

using c10::IValue;

// Operations whose result's size depends on the content, which makes the host wait on a GPU.
bool waits_for_sizes(const std::string& name) {
  static const std::set<std::string> names{"aten::nonzero",  "aten::masked_select",      "aten::unique_dim",
                                           "aten::_unique2", "aten::unique_consecutive", "aten::repeat_interleave",
                                           "aten::bincount", "aten::_coalesce"};
  return names.contains(name);
}

// These take indices of the host, and copy them.
bool takes_host_indices(const std::string& name) { return name.starts_with("aten::index") || name.starts_with("aten::_index_put"); }

// One call of an operation: its arguments with tensors of the CPU in place of a device's, and back.
class Call {
 public:
  explicit Call(const c10::OperatorHandle& op) : op_(op), name_(op.schema().name()) {}

  std::vector<IValue> operator()(const std::vector<IValue>& arguments) {
    const auto& declared = op_.schema().arguments();
    for (size_t i = 0; i < arguments.size(); ++i) collect(arguments[i], declared[i].alias_info() && declared[i].alias_info()->isWrite());
    check_devices();
    note_uses();
    torch::jit::Stack stack;
    for (const IValue& argument : arguments) stack.push_back(on_host(argument));
    {
      const at::AutoDispatchBelowADInplaceOrView guard;
      op_.callBoxed(&stack);
    }
    for (auto& [tensor, host, is_written, in_list] : tensors_)
      if (is_written && host.defined()) take_size(tensor, host);
    std::vector<IValue> results;
    const auto& returns = op_.schema().returns();
    for (size_t i = 0; i < stack.size(); ++i) {
      const auto* alias = returns[i].alias_info();
      const bool is_argument = alias != nullptr && alias->isWrite() && stack[i].isTensor();
      results.push_back(is_argument ? argument_of(*alias, arguments) : on_device(stack[i]));
    }
    return results;
  }

 private:
  struct Used {
    at::Tensor tensor, host;  // host: undefined until it is made, and for tensors of the host
    bool is_written, in_list;
  };

  void collect(const IValue& argument, bool is_written) {
    const auto add = [&](const at::Tensor& tensor, bool in_list) {
      if (tensor.defined()) tensors_.push_back({tensor, {}, is_written, in_list});
    };
    if (argument.isTensor()) return add(argument.toTensor(), false);
    if (argument.isTensorList())
      for (const at::Tensor& tensor : argument.toTensorVector()) add(tensor, true);
    else if (argument.isOptionalTensorList())
      for (const std::optional<at::Tensor>& tensor : argument.toOptionalTensorVector()) add(tensor.value_or(at::Tensor()), true);
    else if (argument.isDevice() && argument.toDevice().is_cuda())
      device_ = argument.toDevice().has_index() ? argument.toDevice().index() : current_device();
  }

  void check_devices() {
    for (const Used& used : tensors_) {
      if (!used.tensor.is_cuda()) continue;
      TORCH_CHECK(device_ < 0 || device_ == used.tensor.get_device(), "Software device: ", name_,
                  " expected all tensors on one device but received some on cuda:", device_,
                  " and some on cuda:", static_cast<int>(used.tensor.get_device()), ".");
      device_ = used.tensor.get_device();
    }
    for (const Used& used : tensors_)
      if (!used.tensor.is_cuda())
        TORCH_CHECK((used.tensor.dim() == 0 && !used.in_list && !used.is_written) || (used.in_list && takes_host_indices(name_)),
                    "Software device: ", name_, " expected all tensors on cuda:", device_, " but received one of shape ",
                    used.tensor.sizes(), " on the CPU.");
  }

  void note_uses() {
    if (device_ < 0) return;
    const int stream = current_stream(device_);
    const Lock lock(state_mutex());
    begin_work(stream);
    for (const Used& used : tensors_) {
      if (used.tensor.is_cuda()) use(used.tensor, stream, used.is_written);
      const bool is_mask = used.in_list && (used.tensor.scalar_type() == at::kBool || used.tensor.scalar_type() == at::kByte);
      if (takes_host_indices(name_) && (!used.tensor.is_cuda() || is_mask) && used.in_list) wait_on_host(clock_of(stream), name_);
    }
    const auto& returns = op_.schema().returns();
    const bool returns_number = !returns.empty() && returns[0].type()->kind() != c10::TypeKind::TensorType &&
                                returns[0].type()->kind() != c10::TypeKind::ListType &&
                                returns[0].type()->kind() != c10::TypeKind::TupleType;
    if (returns_number || waits_for_sizes(name_)) wait_on_host(clock_of(stream), name_);
  }

  const c10::Storage& host_storage(const c10::Storage& storage) {
    for (const auto& [device, host] : storages_)
      if (device.is_alias_of(storage)) return host;
    c10::Storage host(c10::Storage::use_byte_size_t(), storage.nbytes(), c10::DataPtr(content_of(storage.data()), c10::Device(c10::kCPU)),
                      c10::GetCPUAllocator(), /*resizable=*/true);
    return storages_.emplace_back(storage, std::move(host)).second;
  }

  at::Tensor on_host(const at::Tensor& tensor) {
    if (!tensor.defined() || !tensor.is_cuda()) return tensor;
    if (tensor.is_sparse())
      return at::_sparse_coo_tensor_unsafe(on_host(tensor._indices()), on_host(tensor._values()), tensor.sizes(), {}, {}, {}, {},
                                           tensor.is_coalesced());
    at::Tensor host = at::detail::make_tensor<at::TensorImpl>(c10::Storage(host_storage(tensor.storage())),
                                                              c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
    auto* impl = host.unsafeGetTensorImpl();
    impl->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
    if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) impl->set_wrapped_number(true);
    for (Used& used : tensors_)
      if (used.tensor.is_same(tensor)) used.host = host;
    return host;
  }

  IValue on_host(const IValue& argument) {
    if (argument.isTensor()) return on_host(argument.toTensor());
    if (argument.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& tensor : argument.toTensorVector()) list.push_back(on_host(tensor));
      return list;
    }
    if (argument.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const auto& tensor : argument.toOptionalTensorVector()) list.push_back(tensor ? std::optional(on_host(*tensor)) : std::nullopt);
      return list;
    }
    if (argument.isDevice() && argument.toDevice().is_cuda()) return c10::Device(c10::kCPU);
    return argument;
  }

  // An operation may give a tensor it writes another size.
  void take_size(at::Tensor& tensor, const at::Tensor& host) {
    if (tensor.is_sparse() || tensor.sizes() == host.sizes()) return;
    tensor.resize_(host.sizes());
    const size_t bytes = host.storage().nbytes();
    if (bytes > 0 && content_of(tensor.storage().data()) != host.storage().data())
      std::memcpy(content_of(tensor.storage().data()), host.storage().data(), std::min(bytes, tensor.storage().nbytes()));
  }

  at::Tensor on_device(const at::Tensor& host) {
    if (!host.defined() || host.is_cuda()) return host;
    if (host.is_sparse())
      return at::_sparse_coo_tensor_unsafe(on_device(host._indices()), on_device(host._values()), host.sizes(), {}, {}, {}, {},
                                           host.is_coalesced());
    for (const auto& [device, own] : storages_)
      if (own.is_alias_of(host.storage())) {
        at::Tensor view =
            at::detail::make_tensor<at::TensorImpl>(c10::Storage(device), c10::DispatchKeySet(c10::DispatchKey::CUDA), host.dtype());
        view.unsafeGetTensorImpl()->set_sizes_and_strides(host.sizes(), host.strides(), host.storage_offset());
        return view;
      }
    const at::Tensor tensor = at::empty_strided(host.sizes(), host.strides(),
                                                host.options().device(c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(device_))));
    copy_content(host, tensor);
    const Lock lock(state_mutex());
    use(tensor, current_stream(device_), true);
    return tensor;
  }

  IValue on_device(const IValue& result) {
    if (device_ < 0) return result;
    if (result.isTensor()) return on_device(result.toTensor());
    if (!result.isTensorList()) return result;
    c10::List<at::Tensor> list;
    for (const at::Tensor& tensor : result.toTensorVector()) list.push_back(on_device(tensor));
    return list;
  }

 public:
  static void copy_content(const at::Tensor& host, const at::Tensor& tensor) {
    if (host.numel() == 0) return;
    std::memcpy(
        content_of(tensor.storage().data()), static_cast<const char*>(host.const_data_ptr()),
        std::min(tensor.storage().nbytes(), host.storage().nbytes() - static_cast<size_t>(host.storage_offset()) * host.element_size()));
  }

 private:
  const IValue& argument_of(const c10::AliasInfo& alias, const std::vector<IValue>& arguments) const {
    const auto& declared = op_.schema().arguments();
    for (size_t i = 0; i < arguments.size(); ++i)
      if (declared[i].alias_info() && declared[i].alias_info()->beforeSets() == alias.beforeSets()) return arguments[i];
    TORCH_INTERNAL_ASSERT(false, name_, " returns an argument that it has not.");
  }

  const c10::OperatorHandle& op_;
  const std::string name_;
  int device_ = -1;
  std::vector<Used> tensors_;
  std::vector<std::pair<c10::Storage, c10::Storage>> storages_;  // of the device and the host
};

void write_again(const IValue& again, const IValue& result);

void write_again(const at::Tensor& again, const at::Tensor& result) {
  if (!again.defined() || again.is_same(result) || again.is_alias_of(result)) return;
  TORCH_CHECK(!again.is_sparse() && again.sizes() == result.sizes(), "Software device: a graph cannot hold results of varying size.");
  content_of(result).copy_(content_of(again));
}

void write_again(const IValue& again, const IValue& result) {
  if (again.isTensor()) return write_again(again.toTensor(), result.toTensor());
  if (!again.isTensorList()) return;
  const auto from = again.toTensorVector(), to = result.toTensorVector();
  for (size_t i = 0; i < from.size(); ++i) write_again(from[i], to[i]);
}

void run_on_host(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
  const auto arguments = torch::jit::pop(*stack, op.schema().arguments().size());
  const auto results = Call(op)(arguments);
  for (const IValue& result : results) stack->push_back(result);
  if (!is_recording()) return;
  add_to_graph([op, arguments, results] {
    const auto again = Call(op)(arguments);
    for (size_t i = 0; i < again.size(); ++i) write_again(again[i], results[i]);
  });
}

}  // namespace

at::Tensor content_of(const at::Tensor& tensor) {
  c10::Storage storage(c10::Storage::use_byte_size_t(), tensor.storage().nbytes(),
                       c10::DataPtr(content_of(tensor.storage().data()), c10::Device(c10::kCPU)));
  at::Tensor host = at::detail::make_tensor<at::TensorImpl>(std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
  host.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
  return host;
}

void use(const at::Tensor& tensor, int stream, bool is_written) {
  if (tensor.is_sparse()) {
    use(tensor._indices(), stream, is_written);
    return use(tensor._values(), stream, is_written);
  }
  if (Block* block = find_block(tensor.storage().data())) block->history.use(stream, is_written, name_of(*block));
}

TORCH_LIBRARY_IMPL(_, CUDA, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_host>()); }
TORCH_LIBRARY_IMPL(_, SparseCUDA, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_host>()); }

}  // namespace magrpo::software_cuda
