#include "distributed/nccl.h"

#if defined(MAGRPO_CUDA) && defined(MAGRPO_NCCL)
#define USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#else
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>
#endif

#include "core/errors.h"

namespace magrpo::distributed {

#if defined(MAGRPO_CUDA) && defined(MAGRPO_NCCL)

std::string nccl_version() {
  // Of the headers; libtorch was linked with the library of the same wheel.
  return core::concat(NCCL_MAJOR, ".", NCCL_MINOR, ".", NCCL_PATCH);
}

c10::intrusive_ptr<c10d::Backend> connect_nccl(c10::intrusive_ptr<c10d::Store> store, int rank, int size,
                                               std::chrono::milliseconds timeout) {
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = timeout;
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(std::move(store), rank, size, std::move(options));
}

#else

std::string nccl_version() { return ""; }

c10::intrusive_ptr<c10d::Backend> connect_nccl(c10::intrusive_ptr<c10d::Store> /*store*/, int /*rank*/, int /*size*/,
                                               std::chrono::milliseconds /*timeout*/) {
  return nullptr;
}

#endif

}  // namespace magrpo::distributed
