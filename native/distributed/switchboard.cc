#include "distributed/switchboard.h"

#include <c10/util/Logging.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <numeric>
#include <optional>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>

#include "core/errors.h"

namespace magrpo::distributed {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// The store takes values of up to 8 MiB.
constexpr size_t kPartBytes = 4 << 20;
constexpr milliseconds kBeat{1000};
// How often messages are looked for, and at least what is waited for: every look is a packet there and one back.
constexpr milliseconds kLook{100};
constexpr milliseconds kLongestRest{50};
constexpr milliseconds kFarewell{2000};

std::string key(const std::string& kind, const std::string& name) { return kind + "/" + name; }
std::string key(const std::string& kind, int64_t number) { return key(kind, std::to_string(number)); }

Bytes to_bytes(const std::string& text) { return {text.begin(), text.end()}; }

// Writes a value of any length: further parts first, so that who sees the first sees them all.
void put(c10d::Store& store, const std::string& name, const Bytes& value) {
  const size_t parts = std::max<size_t>(1, (value.size() + kPartBytes - 1) / kPartBytes);
  for (size_t i = parts; i-- > 0;) {
    Bytes part;
    if (i == 0) part = to_bytes(std::to_string(parts) + "\n");
    const auto begin = value.begin() + static_cast<int64_t>(i * kPartBytes);
    const auto end = value.begin() + static_cast<int64_t>(std::min(value.size(), (i + 1) * kPartBytes));
    part.insert(part.end(), begin, end);
    store.set(i == 0 ? name : key(name, static_cast<int64_t>(i)), part);
  }
}

// Reads what put() wrote, and removes it if wanted.
Bytes take(c10d::Store& store, const std::string& name, bool removes) {
  Bytes value = store.get(name);
  const auto line = std::find(value.begin(), value.end(), '\n');
  const int64_t parts = std::stoll(std::string(value.begin(), line));
  value.erase(value.begin(), line + 1);
  if (removes) store.deleteKey(name);
  for (int64_t i = 1; i < parts; ++i) {
    const Bytes part = store.get(key(name, i));
    value.insert(value.end(), part.begin(), part.end());
    if (removes) store.deleteKey(key(name, i));
  }
  return value;
}

void remove(c10d::Store& store, const std::string& name) {
  const Bytes first = store.get(name);
  const int64_t parts = std::stoll(std::string(first.begin(), std::find(first.begin(), first.end(), '\n')));
  store.deleteKey(name);
  for (int64_t i = 1; i < parts; ++i) store.deleteKey(key(name, i));
}

c10d::TCPStoreOptions store_options(const Place& place, bool is_server) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(place.port);
  options.isServer = is_server;
  options.waitWorkers = false;
  options.timeout = place.timeout;
  return options;
}

// The store tells of every attempt to connect and, with a backtrace, of every connection that ends. Who wants to read that sets
// TORCH_CPP_LOG_LEVEL.
void quieten_libtorch() {
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) setenv("TORCH_CPP_LOG_LEVEL", "FATAL", 0);
  c10::initLogging();
}

std::string first_line(const char* text) {
  const std::string all = text;
  return all.substr(0, all.find('\n'));
}

}  // namespace

class Switchboard::Thread {
 public:
  Thread(Place place, Listener listener) : place_(std::move(place)), listener_(std::move(listener)) {}

  const Place& place() const { return place_; }
  int64_t bytes() const { return bytes_; }
  bool has_lost() const { return is_lost_; }

  void run() {
    try {
      store_ = c10::make_intrusive<c10d::TCPStore>(place_.address, store_options(place_, place_.hosts_store));
      names_ = c10::make_intrusive<c10d::PrefixStore>(place_.prefix, store_);
    } catch (const std::exception& error) {
      fail(0, place_.hosts_store
                  ? core::concat("port ", place_.port, " cannot be opened: ", first_line(error.what()))
                  : core::concat("nobody answered at ", place_.address, ":", place_.port, " within ", place_.timeout.count() / 1000, " s"));
      return;
    }
    try {
      while (turn()) rest();
      say_goodbye();
    } catch (const std::exception& error) {
      fail(0, core::concat("the connection to the store at ", place_.address, ":", place_.port, " ended: ", first_line(error.what())));
    }
    names_.reset();
    store_.reset();
    const std::lock_guard<std::mutex> lock(mutex_);
    is_over_ = true;
    over_.notify_all();
  }

  void gather(std::string name, Bytes value, std::vector<int> members, Gathered done, std::optional<Clock::time_point> deadline) {
    add([this, name = std::move(name), value = std::move(value), members = std::move(members), done = std::move(done), deadline]() mutable {
      bytes_ += static_cast<int64_t>(value.size());
      put(*names_, own_key(name, place_.rank), value);
      waiting_.push_back({std::move(name), std::move(value), std::move(members), std::move(done), deadline, Clock::now(), Clock::now()});
    });
  }

  void tell(int to, Bytes message) {
    add([this, to, message = std::move(message)] {
      const int64_t number = names_->add(key("letters", to), 1);
      Bytes text = to_bytes(std::to_string(place_.rank) + "\n");
      text.insert(text.end(), message.begin(), message.end());
      put(*names_, key(key("letter", to), number), text);
    });
  }

  // Waits for the end, so long as the thread is not in the middle of connecting.
  void close() {
    std::unique_lock<std::mutex> lock(mutex_);
    is_closing_ = true;
    woken_.notify_all();
    over_.wait_for(lock, kFarewell + milliseconds(500), [this] { return is_over_; });
  }

 private:
  struct Waiting {
    std::string name;
    Bytes own;
    std::vector<int> members;
    Gathered done;
    std::optional<Clock::time_point> deadline;
    Clock::time_point since;
    Clock::time_point looked;  // for who is missing
  };

  void add(std::function<void()> command) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_over_ || is_closing_) return;
    commands_.push_back(std::move(command));
    woken_.notify_all();
  }

  // One round; false when it is to end.
  bool turn() {
    std::deque<std::function<void()>> commands;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      commands.swap(commands_);
      if (is_closing_) is_leaving_ = true;
    }
    for (auto& command : commands) command();
    if (is_leaving_) return false;
    const auto now = Clock::now();
    for (size_t i = 0; i < waiting_.size();)
      if (look_at(waiting_[i], now)) waiting_.erase(waiting_.begin() + static_cast<int64_t>(i));
      else ++i;
    if (now - read_ >= kLook) {
      read_ = now;
      read_letters();
    }
    if (now - beaten_ >= kBeat) {
      beaten_ = now;
      names_->set(key("beat", place_.rank), to_bytes(std::to_string(++beat_)));
      listen_for_beats(now);
    }
    return !is_lost_;
  }

  // Short while something is waited for that may come at any moment, longer the longer it takes.
  void rest() {
    using std::chrono::microseconds;
    microseconds time = kLook;
    for (const Waiting& one : waiting_) {
      const auto waited = std::chrono::duration_cast<microseconds>(Clock::now() - one.since);
      time = std::min(time, std::clamp(waited / 20, microseconds(100), microseconds(kLongestRest)));
    }
    std::unique_lock<std::mutex> lock(mutex_);
    woken_.wait_for(lock, time, [this] { return !commands_.empty() || is_closing_; });
  }

  std::string own_key(const std::string& name, int rank) const { return key("of/" + name, rank); }

  // Whether a gathering has come to its end.
  bool look_at(Waiting& one, Clock::time_point now) {
    std::vector<std::string> keys;
    for (const int rank : one.members) keys.push_back(own_key(one.name, rank));
    if (names_->check(keys)) {
      std::vector<Bytes> values;
      for (size_t i = 0; i < keys.size(); ++i) {
        const bool is_own = one.members[i] == place_.rank;
        values.push_back(is_own ? std::move(one.own) : take(*names_, keys[i], false));
        if (!is_own) bytes_ += static_cast<int64_t>(values.back().size());
      }
      // Who reads last sweeps.
      if (names_->add(key("read", one.name), 1) == static_cast<int64_t>(keys.size())) {
        for (const std::string& each : keys) remove(*names_, each);
        names_->deleteKey(key("read", one.name));
      }
      // What members said before they gave their values is heard before these.
      read_letters();
      one.done(std::move(values), "");
      return true;
    }
    const bool is_late = one.deadline && now > *one.deadline;
    if (!is_late && now - one.looked < kBeat) return false;
    one.looked = now;
    std::string missing;
    int left = -1;
    for (const int rank : one.members) {
      if (names_->check({own_key(one.name, rank)})) continue;
      missing += core::concat(missing.empty() ? "" : ", ", rank);
      if (left < 0 && names_->check({key("bye", rank)})) left = rank;
    }
    if (is_late)
      one.done({}, core::concat("rank ", missing, " of ", place_.size, " did not come within ", place_.timeout.count() / 1000, " s"));
    else if (left >= 0 && !names_->check({own_key(one.name, left)})) lose(left, "it has ended its run");
    return is_late;
  }

  void read_letters() {
    for (;;) {
      const std::string next = key(key("letter", place_.rank), letters_ + 1);
      if (!names_->check({next})) return;
      ++letters_;
      Bytes text = take(*names_, next, true);
      const auto line = std::find(text.begin(), text.end(), '\n');
      const int from = std::stoi(std::string(text.begin(), line));
      text.erase(text.begin(), line + 1);
      listener_.on_message(from, std::move(text));
    }
  }

  void listen_for_beats(Clock::time_point now) {
    for (int rank = 0; rank < place_.size; ++rank) {
      if (rank == place_.rank || !names_->check({key("beat", rank)})) continue;
      const Bytes beat = names_->get(key("beat", rank));
      Heard& heard = heard_[rank];
      if (beat != heard.beat) heard = {beat, now};
      else if (now - heard.at > place_.silence && !names_->check({key("bye", rank)}))
        lose(rank, core::concat("it has given no sign of life for ", place_.silence.count() / 1000, " s"));
    }
  }

  void lose(int rank, const std::string& why) {
    if (is_lost_.exchange(true)) return;
    listener_.on_lost(rank, why);
  }

  void fail(int rank, const std::string& why) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      is_over_ = true;
      over_.notify_all();
      if (is_closing_) return;
    }
    lose(rank, why);
  }

  void say_goodbye() {
    names_->set(key("bye", place_.rank), to_bytes("1"));
    if (!place_.hosts_store) return;
    std::vector<std::string> keys;
    for (int rank = 0; rank < place_.size; ++rank) keys.push_back(key("bye", rank));
    for (const auto end = Clock::now() + kFarewell; Clock::now() < end && !names_->check(keys);)
      std::this_thread::sleep_for(milliseconds(5));
  }

  struct Heard {
    Bytes beat;
    Clock::time_point at;
  };

  const Place place_;
  const Listener listener_;

  std::mutex mutex_;
  std::condition_variable woken_;
  std::condition_variable over_;
  std::deque<std::function<void()>> commands_;
  bool is_closing_ = false;
  bool is_over_ = false;

  std::atomic<int64_t> bytes_ = 0;
  std::atomic<bool> is_lost_ = false;

  // Of the thread alone.
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::Store> names_;
  std::vector<Waiting> waiting_;
  std::map<int, Heard> heard_;
  Clock::time_point read_;
  Clock::time_point beaten_;
  int64_t beat_ = 0;
  int64_t letters_ = 0;
  bool is_leaving_ = false;
};

Switchboard::Switchboard(Place place, Listener listener) : thread_(std::make_shared<Thread>(std::move(place), std::move(listener))) {
  quieten_libtorch();
  // Detached: connecting cannot be interrupted, and nobody shall wait for it.
  std::thread([thread = thread_] { thread->run(); }).detach();
}

Switchboard::~Switchboard() { close(); }

const Place& Switchboard::place() const { return thread_->place(); }

bool Switchboard::has_lost() const { return thread_->has_lost(); }

int64_t Switchboard::bytes() const { return thread_->bytes(); }

void Switchboard::gather(std::string name, Bytes value, Gathered done, std::vector<int> members) {
  if (members.empty()) members = all();
  thread_->gather(std::move(name), std::move(value), std::move(members), std::move(done), std::nullopt);
}

void Switchboard::join(Bytes value, Gathered done) {
  thread_->gather("join", std::move(value), all(), std::move(done), Clock::now() + place().timeout);
}

std::vector<int> Switchboard::all() const {
  std::vector<int> ranks(static_cast<size_t>(place().size));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

void Switchboard::tell(int to, Bytes message) { thread_->tell(to, std::move(message)); }

c10::intrusive_ptr<c10d::Store> Switchboard::connect(const std::string& group) const {
  const auto store = c10::make_intrusive<c10d::TCPStore>(place().address, store_options(place(), false));
  return c10::make_intrusive<c10d::PrefixStore>(place().prefix + "/tensors/" + group, store);
}

void Switchboard::close() { thread_->close(); }

}  // namespace magrpo::distributed
