// What the ranks of a run tell each other besides tensors: values that all of them gather, messages to one of them, and signs of life.
// One thread talks to one TCPStore, so that a JavaScript thread that is busy does not look dead.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace c10d {
class Store;
}

namespace magrpo::distributed {

using Bytes = std::vector<uint8_t>;

// Where this process stands among those of a run.
struct Place {
  int rank = 0;
  int size = 1;
  std::string address;  // of rank 0
  int port = 0;
  bool hosts_store = false;            // false for all where the launcher has a store of its own
  std::string prefix;                  // of all keys: a launcher's store may know of an earlier attempt
  std::chrono::milliseconds timeout{300000};  // for all to come
  std::chrono::milliseconds silence{20000};   // a rank that gives no sign of life for so long is lost
};

// Called on the switchboard's thread; they must not block. Nothing is called after close().
struct Listener {
  std::function<void(int from, Bytes message)> on_message;
  // Once, with what happened; nothing works any more.
  std::function<void(int rank, const std::string& why)> on_lost;
};

class Switchboard {
 public:
  // All values in the order of the members, or an error of code ERR_RANK.
  using Gathered = std::function<void(std::vector<Bytes> values, const std::string& error)>;

  // Returns at once; the thread connects.
  Switchboard(Place place, Listener listener);
  // Ends it as close() does.
  ~Switchboard();

  const Place& place() const;
  // Whether another rank was lost, so that nothing it was to do comes.
  bool has_lost() const;
  // Of the values this rank gave to gatherings and got from other members, so far.
  int64_t bytes() const;

  // Hands `value` over under a name that is used once, and calls `done` with those of all members. All of them name the same ones, this
  // rank among them. Default: all ranks.
  void gather(std::string name, Bytes value, Gathered done, std::vector<int> members = {});
  // The first gathering, within the timeout; an error names who did not come.
  void join(Bytes value, Gathered done);
  // Messages from one rank to another arrive in order, and before the values of gatherings that it gives later.
  void tell(int to, Bytes message);

  // A connection of its own to the same store, for a process group of this name. Blocks.
  c10::intrusive_ptr<c10d::Store> connect(const std::string& group) const;

  // Says good-bye, so that others do not take the silence for a death. What still waits is dropped. Rank 0 stays until all have said it,
  // or for two seconds.
  void close();

 private:
  class Thread;
  std::vector<int> all() const;
  std::shared_ptr<Thread> thread_;
};

}  // namespace magrpo::distributed
