// The order of work on a software device. Work runs at once, where it is queued; clocks say what a GPU could rely on: a stream has
// done what it queued before, what the host had waited for when it queued, and what an event told it of other streams
// (vector clocks, Mattern 1989). Call everything here with the lock held.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace magrpo::software_cuda {

inline constexpr int kDevices = 2;
// The default stream and those of the pool.
inline constexpr int kStreamsPerDevice = 33;
inline constexpr int kStreams = kDevices * kStreamsPerDevice;

// Guards all of the device's state but the content of its memory.
std::mutex& state_mutex();
using Lock = std::lock_guard<std::mutex>;

// A stream's number, from its device and its id of libtorch.
constexpr int stream_number(int device, int64_t id) { return device * kStreamsPerDevice + static_cast<int>(id); }
constexpr int device_of(int stream) { return stream / kStreamsPerDevice; }

// How "stream 3 of cuda:0" is written.
std::string stream_name(int stream);

// Per stream, how much of its work is known to be done.
class Clock {
 public:
  void join(const Clock& other);
  bool covers(int stream, uint64_t time) const { return times_[static_cast<size_t>(stream)] >= time; }
  uint64_t tick(int stream) { return ++times_[static_cast<size_t>(stream)]; }
  uint64_t at(int stream) const { return times_[static_cast<size_t>(stream)]; }

 private:
  std::array<uint64_t, kStreams> times_{};
};

// One use of some memory: by the work with this number of a stream.
struct Use {
  int stream;
  uint64_t time;
};

// The uses of some memory that later ones have to come after: the last write and the reads since.
class History {
 public:
  // Notes a use by the latest work of `stream`. Throws if that work may run before an earlier one it depends on is done.
  void use(int stream, bool is_written, const std::string& memory);

  // A stream that may still use the memory when `owner` goes on, or -1.
  int unfinished(int owner) const;
  // No longer a concern: the allocator was told of it.
  void forgive(int stream) { forgiven_.push_back(stream); }

 private:
  Use write_{-1, 0};
  std::vector<Use> reads_;
  std::vector<int> forgiven_;
};

// Begins the next work of a stream, after what the host knows; throws what earlier calls found but could not throw.
void begin_work(int stream);

// What a stream, or an event recorded on it, has done once its latest work is done.
const Clock& clock_of(int stream);

// Makes a stream's further work come after what the clock says.
void wait_on_stream(int stream, const Clock& clock);

// Makes the host wait until what the clock says is done, and counts that under `reason`.
void wait_on_host(const Clock& clock, const std::string& reason);
void wait_for_device(int device, const std::string& reason);
bool host_knows(const Use& use);

// Operations that made the host wait, by reason, since the last call.
std::map<std::string, int64_t> take_waits();

// Notes an error found where nothing may be thrown: the next work throws it.
void report(const std::string& error);

}  // namespace magrpo::software_cuda
