#include "software_cuda/streams.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <utility>

#include "software_cuda/graph.h"
#include "software_cuda/memory.h"

namespace magrpo::software_cuda {
namespace {

struct State {
  Clock host;
  std::array<Clock, kStreams> streams;
  std::map<std::string, int64_t> waits;
  std::string error;
};

// Never destroyed: tensors may outlive static objects.
State& state() {
  static auto* state = new State;
  return *state;
}

}  // namespace

std::mutex& state_mutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}

std::string stream_name(int stream) {
  const int id = stream % kStreamsPerDevice;
  return (id == 0 ? "the default stream" : "stream " + std::to_string(id)) + " of cuda:" + std::to_string(device_of(stream));
}

void Clock::join(const Clock& other) {
  for (size_t i = 0; i < times_.size(); ++i) times_[i] = std::max(times_[i], other.times_[i]);
}

void History::use(int stream, bool is_written, const std::string& memory) {
  const Clock& known = state().streams[static_cast<size_t>(stream)];
  const auto check = [&](const Use& earlier, const char* used) {
    TORCH_CHECK(earlier.stream < 0 || known.covers(earlier.stream, earlier.time), "Software device: ", stream_name(stream),
                is_written ? " writes " : " reads ", memory, ", which ", stream_name(earlier.stream), " ", used,
                ", without having waited for it. Record an event there and let this stream wait for it.");
  };
  check(write_, "wrote");
  const Use now{stream, known.at(stream)};
  if (!is_written) {
    std::erase_if(reads_, [&](const Use& read) { return read.stream == stream; });
    reads_.push_back(now);
    return;
  }
  for (const Use& read : reads_) check(read, "reads");
  reads_.clear();
  write_ = now;
}

int History::unfinished(int owner) const {
  const Clock& known = state().streams[static_cast<size_t>(owner)];
  const auto is_unfinished = [&](const Use& use) {
    return use.stream >= 0 && use.stream != owner && !known.covers(use.stream, use.time) && !host_knows(use) &&
           std::find(forgiven_.begin(), forgiven_.end(), use.stream) == forgiven_.end();
  };
  if (is_unfinished(write_)) return write_.stream;
  const auto read = std::find_if(reads_.begin(), reads_.end(), is_unfinished);
  return read == reads_.end() ? -1 : read->stream;
}

void begin_work(int stream) {
  const std::string error = std::exchange(state().error, "");
  TORCH_CHECK(error.empty(), error);
  Clock& clock = state().streams[static_cast<size_t>(stream)];
  clock.join(state().host);
  clock.tick(stream);
}

const Clock& clock_of(int stream) { return state().streams[static_cast<size_t>(stream)]; }

void wait_on_stream(int stream, const Clock& clock) { state().streams[static_cast<size_t>(stream)].join(clock); }

void wait_on_host(const Clock& clock, const std::string& reason) {
  TORCH_CHECK(!is_recording(), "Software device: ", reason, " makes the host wait, which a graph that is being recorded cannot.");
  ++state().waits[reason];
  state().host.join(clock);
  open_pinned_memory();
}

void wait_for_device(int device, const std::string& reason) {
  Clock all;
  for (int id = 0; id < kStreamsPerDevice; ++id) all.join(clock_of(stream_number(device, id)));
  wait_on_host(all, reason);
}

bool host_knows(const Use& use) { return use.stream < 0 || state().host.covers(use.stream, use.time); }

std::map<std::string, int64_t> take_waits() { return std::exchange(state().waits, {}); }

void report(const std::string& error) {
  if (state().error.empty()) state().error = "Software device: " + error;
}

}  // namespace magrpo::software_cuda
