#include "distributed/collectives.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "core/errors.h"
#include "distributed/nccl.h"
#include "distributed/switchboard.h"

namespace magrpo::distributed {
namespace {

// All ranks have met before they begin: a collective takes as long as its bytes, and one that hangs keeps its process from ending.
constexpr std::chrono::minutes kTimeout{2};
// How often a collective is looked at, at least.
constexpr std::chrono::microseconds kLook{500};
// Of what goes from one rank to one other, all of it in order.
constexpr int kTag = 0;

// This machine's address on the way to another; empty if there is no way.
std::string address_towards(const std::string& host, int port) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_DGRAM;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return "";
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  std::string result;
  for (const addrinfo* each = found; each != nullptr && result.empty(); each = each->ai_next) {
    const int fd = socket(each->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;
    // Connecting a datagram socket sends nothing; it chooses the way.
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    char text[NI_MAXHOST];
    auto* address = reinterpret_cast<sockaddr*>(&own);
    if (connect(fd, each->ai_addr, each->ai_addrlen) == 0 && getsockname(fd, address, &size) == 0 &&
        getnameinfo(address, size, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0)
      result = text;
    close(fd);
  }
  return result;
}

std::shared_ptr<gloo::transport::Device> device_for(const Place& place) {
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  if (interface != nullptr && *interface != '\0') return c10d::ProcessGroupGloo::createDeviceForInterface(interface);
  const std::string own = address_towards(place.address, place.port);
  return own.empty() ? c10d::ProcessGroupGloo::createDefaultDevice() : c10d::ProcessGroupGloo::createDeviceForHostname(own);
}

// What tells GPUs apart: two ranks on one of them are nothing that NCCL takes.
int64_t place_of(const at::Device& device) {
  char host[HOST_NAME_MAX + 1] = {};
  gethostname(host, HOST_NAME_MAX);
  return static_cast<int64_t>(std::hash<std::string>{}(core::concat(host, ' ', device.str())) >> 1);
}

}  // namespace

class Collectives::Group {
 public:
  Group(const Switchboard& switchboard, const std::vector<int>& members, int rank)
      : switchboard_(switchboard), rank_(rank), size_(static_cast<int>(members.size())) {
    const Place& place = switchboard.place();
    std::string name;
    for (const int member : members) name += core::concat(name.empty() ? "" : ",", member);
    const auto options = c10d::ProcessGroupGloo::Options::create(kTimeout);
    options->devices.push_back(device_for(place));
    store_ = switchboard.connect(name);
    try {
      gloo_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store_, rank, size_, options);
    } catch (const std::exception& error) {
      const std::string text = error.what();
      throw core::Error("ERR_RANK", "Expected to reach all ranks directly, for tensors, but: ", text.substr(0, text.find('\n')),
                        ". GLOO_SOCKET_IFNAME names the network interface to use.");
    }
  }

  ~Group() {
    // Ending the group would wait for what never comes.
    if (switchboard_.has_lost()) gloo_.release();
  }

  // `tells` says whether gloo tells when it is done; of messages between two ranks it does not.
  template <typename Begin>
  void wait_for(const at::Tensor& tensor, const Begin& begin, bool tells = true) {
    try {
      const auto work = begin(tensor.is_cpu() ? static_cast<c10d::Backend&>(*gloo_) : *nccl_);
      // A rank that hangs keeps its connections, and gloo waits for it until the timeout.
      for (auto time = std::chrono::microseconds(10); tells && tensor.is_cpu() && !work->isCompleted(); time = std::min(2 * time, kLook)) {
        core::check(!switchboard_.has_lost(), "ERR_RANK", "it gives no sign of life");
        std::this_thread::sleep_for(time);
      }
      work->wait();
    } catch (const std::exception& error) {
      const std::string text = error.what();
      throw core::Error("ERR_RANK", "Expected all ranks to exchange their tensors, but one is gone: ", text.substr(0, text.find('\n')));
    }
  }

  // Whether tensors of this device stay there while they travel: all ranks have NCCL, and a GPU each. Settled at the first call, which all
  // ranks make together.
  bool keeps_on_device(const at::Device& device) {
    if (is_settled_) return nccl_ != nullptr && device.is_cuda();
    is_settled_ = true;
    const char* wanted = std::getenv("MAGRPO_COLLECTIVES");
    const bool can = device.is_cuda() && !nccl_version().empty() && (wanted == nullptr || std::string(wanted) != "gloo");
    // Each rank's place, of which the sum of all is every one's.
    std::vector<at::Tensor> places{at::zeros({size_}, at::kLong)};
    places[0][rank_] = can ? place_of(device) : 0;
    wait_for(places[0], [&](c10d::Backend& group) { return group.allreduce(places); });
    const int64_t* begin = places[0].const_data_ptr<int64_t>();
    std::set<int64_t> distinct(begin, begin + size_);
    if (distinct.count(0) == 0 && static_cast<int>(distinct.size()) == size_)
      nccl_ = connect_nccl(c10::make_intrusive<c10d::PrefixStore>("nccl", store_), rank_, size_, kTimeout);
    return nccl_ != nullptr;
  }

 private:
  const Switchboard& switchboard_;
  const int rank_, size_;
  bool is_settled_ = false;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo_;
  c10::intrusive_ptr<c10d::Backend> nccl_;
};

Collectives::Collectives(const Switchboard& switchboard, const std::vector<int>& members)
    : rank_(static_cast<int>(std::find(members.begin(), members.end(), switchboard.place().rank) - members.begin())),
      size_(static_cast<int>(members.size())) {
  core::check_argument(rank_ < size_, "Expected this rank among those it exchanges tensors with.");
  group_ = std::make_unique<Group>(switchboard, members, rank_);
}

Collectives::~Collectives() = default;

template <typename Send>
void Collectives::in_buckets(std::vector<at::Tensor>& tensors, const Send& send) {
  const at::NoGradGuard no_grad;
  if (tensors.empty()) return;
  const bool stays = group_->keeps_on_device(tensors[0].device());
  for (size_t begin = 0, end = 0; begin < tensors.size(); begin = end) {
    int64_t bytes = 0;
    const auto fits = [&](const at::Tensor& next) {
      const bool is_alike = next.scalar_type() == tensors[begin].scalar_type() && next.device() == tensors[begin].device();
      return is_alike && bytes + static_cast<int64_t>(next.nbytes()) <= kBucketBytes;
    };
    do bytes += static_cast<int64_t>(tensors[end++].nbytes());
    while (end < tensors.size() && fits(tensors[end]));
    bytes_ += bytes;
    if (end - begin == 1 && tensors[begin].is_contiguous() && (stays || tensors[begin].is_cpu())) {
      send(tensors[begin]);
      continue;
    }
    std::vector<at::Tensor> flat;
    for (size_t i = begin; i < end; ++i) flat.push_back(tensors[i].reshape({-1}));
    at::Tensor bucket = at::cat(flat);
    if (!stays) bucket = bucket.to(at::kCPU);
    send(bucket);
    int64_t offset = 0;
    for (size_t i = begin; i < end; ++i) {
      tensors[i].copy_(bucket.narrow(0, offset, tensors[i].numel()).view_as(tensors[i]));
      offset += tensors[i].numel();
    }
  }
}

void Collectives::sum(std::vector<at::Tensor>& tensors) {
  in_buckets(tensors, [this](at::Tensor& bucket) {
    std::vector<at::Tensor> list{bucket};
    group_->wait_for(bucket, [&](c10d::Backend& group) { return group.allreduce(list); });
  });
}

void Collectives::copy(std::vector<at::Tensor>& tensors, int from) {
  c10d::BroadcastOptions options;
  options.rootRank = from;
  in_buckets(tensors, [&](at::Tensor& bucket) {
    // As bytes: gloo does not know every type.
    std::vector<at::Tensor> list{bucket.view({-1}).view(at::kByte)};
    group_->wait_for(bucket, [&](c10d::Backend& group) { return group.broadcast(list, options); });
  });
}

void Collectives::send(const at::Tensor& tensor, int to) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> list{tensor.cpu().reshape({-1}).contiguous().view(at::kByte)};
  bytes_ += static_cast<int64_t>(tensor.nbytes());
  group_->wait_for(list[0], [&](c10d::Backend& group) { return group.send(list, to, kTag); }, false);
}

void Collectives::receive(at::Tensor tensor, int from) {
  const at::NoGradGuard no_grad;
  const bool is_direct = tensor.is_cpu() && tensor.is_contiguous();
  const at::Tensor buffer = is_direct ? tensor : at::empty(tensor.sizes(), tensor.options().device(at::kCPU));
  std::vector<at::Tensor> list{buffer.view({-1}).view(at::kByte)};
  bytes_ += static_cast<int64_t>(tensor.nbytes());
  group_->wait_for(list[0], [&](c10d::Backend& group) { return group.recv(list, from, kTag); }, false);
  if (!is_direct) tensor.copy_(buffer);
}

}  // namespace magrpo::distributed
