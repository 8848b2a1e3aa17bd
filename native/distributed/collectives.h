// Sums and copies of tensors over the ranks of a run, by libtorch's own process groups: NCCL between GPUs, else gloo.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace magrpo::distributed {

class Switchboard;

// Tensors that are sent together have at most so many bytes; one tensor may have more. Large enough that gloo's latency does not count,
// small enough that the copies of small tensors are no burden.
inline constexpr int64_t kBucketBytes = 32 << 20;

// Every member makes the same calls in the same order, on tensors of the same shapes. A call blocks until this rank's part is done, and
// throws ERR_RANK if another rank is gone.
class Collectives {
 public:
  // Connects some ranks of a switchboard, this one among them; they do so at about the same time, and name the same ones. Tensors take the
  // network interface that leads to rank 0, or the one that GLOO_SOCKET_IFNAME names. Throws ERR_RANK if one cannot be reached.
  Collectives(const Switchboard& switchboard, const std::vector<int>& members);
  ~Collectives();

  // Number of this rank among the members, and how many they are.
  int rank() const { return rank_; }
  int size() const { return size_; }

  // Adds the tensors of all ranks up, in place; the same bits on each rank. Small ones are sent together.
  void sum(std::vector<at::Tensor>& tensors);
  // Overwrites the tensors with those of member `from`.
  void copy(std::vector<at::Tensor>& tensors, int from);
  // From one rank to one other, each of which makes its call.
  void send(const at::Tensor& tensor, int to);
  void receive(at::Tensor tensor, int from);

  // Bytes of the tensors that were handed over so far, for measurements.
  int64_t bytes() const { return bytes_; }

 private:
  class Group;
  // Calls `send` with contiguous buffers that hold the tensors, at most kBucketBytes each unless one tensor is larger.
  template <typename Send>
  void in_buckets(std::vector<at::Tensor>& tensors, const Send& send);

  std::unique_ptr<Group> group_;
  int rank_;
  int size_;
  int64_t bytes_ = 0;
};

}  // namespace magrpo::distributed
