// The executor of jobs: order, exclusion, and nothing lost, whatever threads submit. Under the thread sanitizer the plain integers that
// tasks write tell whether two of them ran at once that may not.
#include "binding/executor.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "test/harness.h"

namespace magrpo::binding {
namespace {

// Waits until as many tasks as expected have ended.
class Ending {
 public:
  void add() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  void wait_for(int count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return count_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

struct Object {
  uint64_t value = 0;  // plain: writers exclude each other and readers
};

// Appends the digit `number` to the object's value in each of its slices; with 0 it only reads.
class Digits : public Task {
 public:
  Digits(Object& object, Ending& ending, int slices, uint64_t number) : object_(object), ending_(ending), slices_(slices), number_(number) {
    (number == 0 ? reads : writes).push_back(&object);
  }
  bool advance() override {
    const uint64_t before = object_.value;
    // Room for a task that should have waited.
    for (int i = 0; i < 20; ++i) std::this_thread::yield();
    if (number_ != 0) object_.value = before * 10 + number_;
    return --slices_ == 0;
  }
  void finished(std::shared_ptr<Task> self) override {
    Ending& ending = ending_;
    self.reset();  // and with it this task
    ending.add();
  }

 private:
  Object& object_;
  Ending& ending_;
  int slices_;
  const uint64_t number_;
};

// Tasks that run beside each other count themselves in; one that needs all threads must be alone.
struct Inside {
  std::atomic<int> workers = 0, mains = 0;
  std::atomic<bool> good = true;
};

class Counting : public Task {
 public:
  Counting(Inside& inside, Ending& ending, bool is_worker) : inside_(inside), ending_(ending) { one_thread = is_worker; }
  bool advance() override {
    std::atomic<int>& mine = one_thread ? inside_.workers : inside_.mains;
    ++mine;
    std::this_thread::yield();
    if (one_thread ? inside_.mains > 0 : inside_.workers > 0 || mine > 1) inside_.good = false;
    --mine;
    return ++slices_ == 20;
  }
  void finished(std::shared_ptr<Task> self) override {
    Ending& ending = ending_;
    self.reset();  // and with it this task
    ending.add();
  }

 private:
  Inside& inside_;
  Ending& ending_;
  int slices_ = 0;
};

}  // namespace

TEST("executor: tasks that write an object run one after another, in order of submission, readers between them") {
  Executor& executor = Executor::of("test");
  set_intra_op_threads(3);
  Object object;
  Ending ending;
  int tasks = 0;
  for (const uint64_t number : {1, 0, 2, 0, 0, 3})
    for (const bool is_worker : {false, true, true}) {
      auto task = std::make_shared<Digits>(object, ending, /*slices=*/2, number);
      task->one_thread = is_worker;
      executor.submit(std::move(task));
      ++tasks;
    }
  ending.wait_for(tasks);
  EXPECT(object.value == 111111'222222'333333, object.value);
}

TEST("executor: several threads submit at once, and nothing is lost or runs beside what it may not") {
  Executor& executor = Executor::of("test");
  constexpr int kSubmitters = 3, kTasks = 60;
  std::array<Object, 4> objects;
  Ending ending;
  std::vector<std::thread> submitters;
  for (int submitter = 0; submitter < kSubmitters; ++submitter)
    submitters.emplace_back([&, submitter] {
      for (int i = 0; i < kTasks; ++i) {
        auto task = std::make_shared<Digits>(objects[static_cast<size_t>(submitter + i) % objects.size()], ending, 1 + i % 3,
                                             static_cast<uint64_t>(i % 4));
        task->one_thread = i / 4 % 4 != 0;
        executor.submit(std::move(task));
        // As a user may, in the middle of work.
        if (i % 16 == 0) set_intra_op_threads(1 + i / 16 % 3);
      }
    });
  for (std::thread& submitter : submitters) submitter.join();
  ending.wait_for(kSubmitters * kTasks);
  EXPECT(std::all_of(objects.begin(), objects.end(), [](const Object& object) { return object.value != 0; }));
}

TEST("executor: a task with all threads is alone; tasks on one thread run beside each other only") {
  Executor& executor = Executor::of("test");
  set_intra_op_threads(3);
  Inside inside;
  Ending ending;
  constexpr int kTasks = 40;
  for (int i = 0; i < kTasks; ++i) executor.submit(std::make_shared<Counting>(inside, ending, i % 3 != 0));
  ending.wait_for(kTasks);
  EXPECT(inside.good.load());
}

TEST("executor: each device has one, whoever asks first") {
  std::array<Executor*, 4> found{};
  std::vector<std::thread> callers;
  for (Executor*& mine : found) callers.emplace_back([&mine] { mine = &Executor::of("test:1"); });
  for (std::thread& caller : callers) caller.join();
  EXPECT(std::all_of(found.begin(), found.end(), [&](Executor* executor) { return executor == found[0] && executor != nullptr; }));
  EXPECT(found[0] != &Executor::of("test"));
}

}  // namespace magrpo::binding
