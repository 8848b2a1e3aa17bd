// Parts that asynchronous calls share: a call parses its arguments, describes a job and converts the job's result.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "binding/conversions.h"
#include "binding/handles.h"
#include "binding/job.h"

namespace magrpo::binding {

// The policies of a call.
struct PolicyList {
  std::vector<std::shared_ptr<train::Policy>> policies;
  std::vector<const model::Adapter*> adapters;  // of each policy; nullptr: full weights
  std::vector<Napi::ObjectReference> handles;
};

// Throws ERR_ARGUMENT unless each policy belongs to `model`.
PolicyList policy_list(const Napi::Value& value, const std::shared_ptr<ModelState>& model);

// Makes the job run on the model's device, before the model is disposed; `handle` is the model's.
void depend_on(JobSpec& spec, const std::shared_ptr<ModelState>& model, const Napi::Object& handle);

enum class Access { kRead, kWrite };

// Makes the job wait for others that use the policies, and keeps the policies alive.
void depend_on(JobSpec& spec, PolicyList& list, Access access);

// A function that the executor thread calls to call options[name] on JavaScript's thread; null if there is no such function.
template <typename... Arguments>
std::function<void(const Arguments&...)> event_option(JobSpec& spec, const Napi::Object& options, const char* name) {
  const Napi::Value option = options.Get(name);
  if (!option.IsFunction()) return nullptr;
  // Held weakly: the reference must be released on JavaScript's thread, with the job.
  spec.callbacks.push_back(std::make_shared<Napi::FunctionReference>(Napi::Persistent(option.As<Napi::Function>())));
  const std::weak_ptr<Napi::FunctionReference> callback = spec.callbacks.back();
  auto* environment = &Environment::of(options.Env());
  return [environment, callback](const Arguments&... arguments) {
    environment->post([callback, arguments...](Napi::Env env) {
      if (const auto function = callback.lock()) function->Call({to_js(env, arguments)...});
    });
  };
}

// Starts a job of one slice.
template <typename Work>
Napi::Value start(Napi::Env env, JobSpec spec, Work work) {
  spec.advance = [work = std::move(work)]() mutable {
    work();
    return true;
  };
  return Environment::of(env).start(env, std::move(spec));
}

// Starts a job whose first slice makes an object; each slice calls its advance() until that returns true. The promise gets its
// take_result().
template <typename Make>
Napi::Value start_sliced(Napi::Env env, JobSpec spec, Make make) {
  struct State {
    decltype(make()) work;
    decltype(make()->take_result()) result;
  };
  const auto state = std::make_shared<State>();
  spec.advance = [state, make = std::move(make)] {
    if (!state->work) state->work = make();
    if (!state->work->advance()) return false;
    state->result = state->work->take_result();
    state->work.reset();  // frees its memory now, not when JavaScript's thread settles the promise
    return true;
  };
  spec.result = [state](Napi::Env env) { return to_js(env, state->result); };
  return Environment::of(env).start(env, std::move(spec));
}

}  // namespace magrpo::binding
