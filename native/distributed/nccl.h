// libtorch's process group over NCCL, for tensors that are on GPUs. In builds that found no NCCL headers, and on the software device, there
// is none: tensors then go through the host's memory and gloo.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <string>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace magrpo::distributed {

// NCCL's version, such as "2.28.9"; empty where there is no NCCL.
std::string nccl_version();

// The ranks' group; ranks call it at about the same time, each with the GPU that it uses from now on as its current device. Null where
// there is no NCCL.
c10::intrusive_ptr<c10d::Backend> connect_nccl(c10::intrusive_ptr<c10d::Store> store, int rank, int size,
                                               std::chrono::milliseconds timeout);

}  // namespace magrpo::distributed
