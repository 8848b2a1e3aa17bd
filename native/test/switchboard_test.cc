// Ranks as threads of one process: what they gather and tell each other, and how one hears that another is gone.
#include "distributed/switchboard.h"

#include <ATen/ops/full.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "distributed/collectives.h"
#include "test/harness.h"
#include "test/ranks.h"
#include "test/tensors.h"

namespace magrpo::distributed {
namespace {

using test::free_port;
using test::place_of;

// Something that another thread says once.
template <typename T>
class Said {
 public:
  void say(T value) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!value_) value_ = std::move(value);
    changed_.notify_all();
  }
  T wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(30), [this] { return value_.has_value(); }))
      throw std::runtime_error("Nothing was said within 30 s.");
    return *value_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<T> value_;
};

struct Answer {
  std::vector<Bytes> values;
  std::string error;
};

struct Rank {
  explicit Rank(const Place& place)
      : switchboard(place, {[this](int, Bytes message) {
                              const std::lock_guard<std::mutex> lock(mutex);
                              letters.push_back(std::move(message));
                              if (letters.size() == 100) all_letters.say(true);
                            },
                            [this](int rank, const std::string&) { lost.say(rank); }}) {}

  std::shared_ptr<Said<Answer>> gather(const std::string& name, Bytes value) {
    auto answer = std::make_shared<Said<Answer>>();
    const auto done = [answer](std::vector<Bytes> values, const std::string& error) { answer->say({std::move(values), error}); };
    if (name == "join") switchboard.join(std::move(value), done);
    else switchboard.gather(name, std::move(value), done);
    return answer;
  }

  std::mutex mutex;
  std::vector<Bytes> letters;
  Said<bool> all_letters;
  Said<int> lost;
  Switchboard switchboard;
};

TEST("switchboard: ranks gather values of any length, under names in any order") {
  const int port = free_port();
  Rank a(place_of(0, 2, port)), b(place_of(1, 2, port));
  const Bytes large(9 << 20, 7), none;
  const auto x = a.gather("x", {1}), y = a.gather("y", large);
  const auto y2 = b.gather("y", none), x2 = b.gather("x", {2});
  EXPECT(x->wait().values == (std::vector<Bytes>{{1}, {2}}));
  EXPECT(y2->wait().values == (std::vector<Bytes>{large, none}));
  EXPECT(x2->wait().values == x->wait().values);
  EXPECT(y->wait().values == y2->wait().values);
}

TEST("switchboard: messages arrive in order") {
  const int port = free_port();
  Rank a(place_of(0, 2, port)), b(place_of(1, 2, port));
  for (uint8_t i = 0; i < 100; ++i) b.switchboard.tell(0, {i});
  EXPECT(a.all_letters.wait());
  for (uint8_t i = 0; i < 100; ++i) EXPECT(a.letters[i] == Bytes{i});
}

TEST("switchboard: what a rank says before it gathers is heard before its value") {
  const int port = free_port();
  Rank a(place_of(0, 3, port)), b(place_of(1, 3, port)), c(place_of(2, 3, port));
  for (uint8_t round = 0; round < 20; ++round) {
    const std::string name(1, static_cast<char>('a' + round));
    // Some of the ranks gather among themselves.
    const auto here = std::make_shared<Said<size_t>>(), there = std::make_shared<Said<size_t>>();
    a.switchboard.gather(name, {},
                         [&, here](const std::vector<Bytes>& values, const std::string&) {
                           const std::lock_guard<std::mutex> lock(a.mutex);
                           here->say(values.size() * a.letters.size());
                         },
                         {0, 2});
    c.switchboard.tell(0, {round});
    c.switchboard.gather(name, {}, [there](const std::vector<Bytes>& values, const std::string&) { there->say(values.size()); }, {0, 2});
    EXPECT(here->wait() == 2 * (static_cast<size_t>(round) + 1));
    EXPECT(there->wait() == 2);
  }
}

TEST("switchboard: who waits for a rank that has left hears of it") {
  const int port = free_port();
  Rank a(place_of(0, 2, port));
  {
    Rank b(place_of(1, 2, port));
    const auto joined = a.gather("join", {}), other = b.gather("join", {});
    EXPECT(joined->wait().error.empty());
    EXPECT(other->wait().error.empty());
    b.switchboard.close();
  }
  const auto never = a.gather("x", {});
  EXPECT(a.lost.wait() == 1);
}

TEST("switchboard: a rank that never comes is named") {
  Place place = place_of(0, 3, free_port());
  place.timeout = std::chrono::milliseconds(300);
  Rank a(place);
  const Answer answer = a.gather("join", {})->wait();
  EXPECT(answer.error.find("rank 1, 2 of 3") != std::string::npos);
}

TEST("collectives: sums and copies over ranks, in buckets and alone") {
  const int port = free_port();
  const auto work = [port](int rank) {
    Rank own(place_of(rank, 2, port));
    EXPECT(own.gather("join", {})->wait().error.empty());
    Collectives collectives(own.switchboard, {0, 1});
    const float mine = static_cast<float>(rank) + 1.0f;
    const at::Tensor turned = at::full({4, 3}, mine).t();
    std::vector<at::Tensor> tensors{at::full({5}, mine), turned, at::full({(9 << 20) + 1}, mine)};
    collectives.sum(tensors);
    for (const at::Tensor& tensor : tensors) EXPECT(tensor.eq(3.0f).all().item<bool>());
    for (at::Tensor& tensor : tensors) tensor.fill_(mine);
    collectives.copy(tensors, 1);
    for (const at::Tensor& tensor : tensors) EXPECT(tensor.eq(2.0f).all().item<bool>());
    own.switchboard.close();
  };
  std::thread other([&] { work(1); });
  work(0);
  other.join();
}

}  // namespace
}  // namespace magrpo::distributed
