// An asynchronous call: arguments are converted on JavaScript's thread, slices run on the executor, the promise is settled on
// JavaScript's thread again.
#pragma once

#include <napi.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "binding/executor.h"
#include "core/cancel.h"

namespace magrpo::model {
class Decoder;
}

namespace magrpo::binding {

class Environment;

// Describes a call. Only `result` may touch JavaScript values.
struct JobSpec {
  std::string device = "cpu";
  std::vector<const void*> reads;
  std::vector<const void*> writes;
  bool one_thread = false;                         // see Task
  std::shared_ptr<const model::Decoder> decoder;   // slices run on its device, and on its stream of it
  core::CancelFlagPtr cancel;                      // polled by advance
  std::function<bool()> advance;                   // executor thread; may throw
  std::function<Napi::Value(Napi::Env)> result;    // JavaScript's thread
  std::vector<Napi::ObjectReference> keep_alive;   // handles that must not be collected while the job runs
  std::vector<std::shared_ptr<Napi::FunctionReference>> callbacks;  // of events; released on JavaScript's thread
};

// Per JavaScript environment (main thread or worker): its jobs, and the way back to its thread.
class Environment {
 public:
  explicit Environment(Napi::Env env);
  ~Environment() = default;
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  static Environment& of(Napi::Env env);

  // Queues the job and returns its promise.
  Napi::Promise start(Napi::Env env, JobSpec spec);

  // The way back for threads that may outlive the environment: post(), or nothing once it is gone.
  class WayBack {
   public:
    explicit WayBack(Environment* environment) : environment_(environment) {}
    void post(std::function<void(Napi::Env)> event);

   private:
    friend class Environment;
    std::mutex mutex_;
    Environment* environment_;
  };
  std::shared_ptr<WayBack> way_back() const { return way_back_; }

  // Call on the executor thread: schedules `event` on JavaScript's thread, unless the environment is being torn down.
  void post(std::function<void(Napi::Env)> event);

  // Constructors of the handle classes.
  Napi::FunctionReference model_constructor;
  Napi::FunctionReference policy_constructor;
  Napi::FunctionReference ranks_constructor;

 private:
  class Job;
  friend class Job;

  static void on_wake(napi_env env, napi_value, void* context, void*);
  // Cancels the running jobs and waits for them, but not for long: process.exit() runs no cleanup hooks on the main thread, and what
  // libtorch's libraries hold is destroyed while the executors' threads go on.
  void on_exit();
  // As on_exit, but waits for all: a worker may be terminated at any moment.
  static void on_teardown(void* environment);
  void finish(std::shared_ptr<Job> job);
  void settle(Napi::Env env, const std::shared_ptr<Job>& job);

  std::shared_ptr<WayBack> way_back_ = std::make_shared<WayBack>(this);
  napi_threadsafe_function wake_ = nullptr;
  std::mutex mutex_;
  std::condition_variable drained_;
  std::set<std::shared_ptr<Job>> running_;  // not yet settled
  int64_t unfinished_ = 0;                  // still owned by an executor
  std::deque<std::function<void(Napi::Env)>> events_;
  bool closing_ = false;
};

// Number of jobs queued or running in this process.
int live_jobs();

}  // namespace magrpo::binding
