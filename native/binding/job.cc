#include "binding/job.h"

#include <c10/util/Exception.h>

#include <chrono>
#include <new>
#include <optional>

#include "core/errors.h"
#include "core/live_objects.h"
#include "model/decoder.h"

namespace magrpo::binding {
namespace {

// Tag of the count of jobs. As a base it is destroyed after a job's members: when no job is alive, their objects are released too.
struct AnyJob {};

// How long an ending process waits for the slice of a job, which is mostly one step of decoding or one micro-batch. Less than the patience
// of interrupts.cc, so that a second Ctrl-C leaves in the usual way.
constexpr std::chrono::milliseconds kExitPatience{800};

struct Failure {
  std::string code;
  std::string message;
  std::string trace;
};

Failure describe_current_exception() {
  try {
    throw;
  } catch (const core::Error& error) {
    return {error.code(), error.what(), ""};
  } catch (const c10::OutOfMemoryError& error) {
    return {"ERR_OUT_OF_MEMORY", error.what_without_backtrace(), error.what()};
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    // libtorch reports a failed allocation on the CPU as a plain error.
    const bool memory = text.find("DefaultCPUAllocator") != std::string::npos;
    return {memory ? "ERR_OUT_OF_MEMORY" : "ERR_NATIVE", text, error.what()};
  } catch (const std::bad_alloc&) {
    return {"ERR_OUT_OF_MEMORY", "Memory ran out. Use fewer samples, shorter completions or a smaller maxTokensPerMicroBatch.", ""};
  } catch (const std::exception& error) {
    return {"ERR_NATIVE", error.what(), ""};
  } catch (...) {
    return {"ERR_NATIVE", "An unknown native error.", ""};
  }
}

Napi::Value to_error(Napi::Env env, const Failure& failure) {
  Napi::Object error = Napi::Error::New(env, failure.message).Value();
  error.Set("code", Napi::String::New(env, failure.code));
  if (!failure.trace.empty()) error.Set("trace", Napi::String::New(env, failure.trace));
  return error;
}

}  // namespace

class Environment::Job : public Task, private core::Counted<AnyJob> {
 public:
  Job(Environment& environment, Napi::Env env, JobSpec spec)
      : environment_(environment), deferred_(Napi::Promise::Deferred::New(env)), spec_(std::move(spec)) {
    reads = spec_.reads;
    writes = spec_.writes;
    one_thread = spec_.one_thread;
    if (!spec_.cancel) spec_.cancel = std::make_shared<core::CancelFlag>();
  }

  bool advance() override {
    try {
      spec_.cancel->check();
      // Everything that touches a model's tensors: work on another stream than theirs would not wait for what wrote them.
      std::optional<core::DeviceScope> scope;
      if (spec_.decoder) scope.emplace(spec_.decoder->on_device());
      return spec_.advance();
    } catch (...) {
      failure_ = std::make_unique<Failure>(describe_current_exception());
      return true;
    }
  }
  void finished(std::shared_ptr<Task> self) override { environment_.finish(std::static_pointer_cast<Job>(std::move(self))); }

  void cancel() { spec_.cancel->cancel(); }
  const std::string& device() const { return spec_.device; }
  Napi::Promise promise() const { return deferred_.Promise(); }

  void settle(Napi::Env env) {
    try {
      if (failure_) deferred_.Reject(to_error(env, *failure_));
      else deferred_.Resolve(spec_.result ? spec_.result(env) : env.Undefined());
    } catch (const Napi::Error& error) {
      deferred_.Reject(error.Value());
    }
    release();
  }

  // Releases JavaScript values, on JavaScript's thread.
  void release() {
    spec_.result = nullptr;
    spec_.callbacks.clear();
    spec_.keep_alive.clear();
  }

 private:
  Environment& environment_;
  Napi::Promise::Deferred deferred_;
  JobSpec spec_;
  std::unique_ptr<Failure> failure_;
};

Environment::Environment(Napi::Env env) {
  napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "magrpo"), 0, 1, nullptr, nullptr, this, on_wake, &wake_);
  napi_unref_threadsafe_function(env, wake_);  // an idle addon does not keep the process alive
  napi_add_env_cleanup_hook(env, on_teardown, this);
  const auto process = env.Global().Get("process").As<Napi::Object>();
  const auto listener = Napi::Function::New(env, [this](const Napi::CallbackInfo&) { on_exit(); });
  process.Get("once").As<Napi::Function>().Call(process, {Napi::String::New(env, "exit"), listener});
}

Environment& Environment::of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

Napi::Promise Environment::start(Napi::Env env, JobSpec spec) {
  auto job = std::make_shared<Job>(*this, env, std::move(spec));
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (running_.empty()) napi_ref_threadsafe_function(env, wake_);
    running_.insert(job);
    ++unfinished_;
  }
  Executor::of(job->device()).submit(job);
  return job->promise();
}

void Environment::post(std::function<void(Napi::Env)> event) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (closing_) return;
  events_.push_back(std::move(event));
  napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking);
}

void Environment::WayBack::post(std::function<void(Napi::Env)> event) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (environment_ != nullptr) environment_->post(std::move(event));
}

void Environment::finish(std::shared_ptr<Job> job) {
  post([this, job = std::move(job)](Napi::Env env) { settle(env, job); });
  // After the last use of `this`, which a teardown waits for.
  const std::lock_guard<std::mutex> lock(mutex_);
  if (--unfinished_ == 0) drained_.notify_all();
}

void Environment::settle(Napi::Env env, const std::shared_ptr<Job>& job) {
  job->settle(env);
  const std::lock_guard<std::mutex> lock(mutex_);
  running_.erase(job);
  if (running_.empty()) napi_unref_threadsafe_function(env, wake_);
}

void Environment::on_wake(napi_env raw_env, napi_value, void* context, void*) {
  if (raw_env == nullptr) return;
  auto* self = static_cast<Environment*>(context);
  const Napi::Env env(raw_env);
  const Napi::HandleScope scope(env);
  std::deque<std::function<void(Napi::Env)>> events;
  {
    const std::lock_guard<std::mutex> lock(self->mutex_);
    events.swap(self->events_);
  }
  for (auto& event : events) {
    const Napi::HandleScope event_scope(env);
    try {
      event(env);
    } catch (const Napi::Error& error) {
      napi_fatal_exception(env, error.Value());  // a callback threw: it surfaces as an uncaught exception, not as silence
    }
  }
}

void Environment::on_exit() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (const auto& job : running_) job->cancel();
  drained_.wait_for(lock, kExitPatience, [this] { return unfinished_ == 0; });
}

void Environment::on_teardown(void* environment) {
  auto* self = static_cast<Environment*>(environment);
  {
    const std::lock_guard<std::mutex> lock(self->way_back_->mutex_);
    self->way_back_->environment_ = nullptr;
  }
  std::set<std::shared_ptr<Job>> jobs;
  std::deque<std::function<void(Napi::Env)>> events;
  {
    std::unique_lock<std::mutex> lock(self->mutex_);
    self->closing_ = true;
    for (const auto& job : self->running_) job->cancel();
    self->drained_.wait(lock, [self] { return self->unfinished_ == 0; });
    jobs.swap(self->running_);
    events.swap(self->events_);
  }
  for (const auto& job : jobs) job->release();
  napi_release_threadsafe_function(self->wake_, napi_tsfn_abort);
}

int live_jobs() { return core::Counted<AnyJob>::alive(); }

}  // namespace magrpo::binding
