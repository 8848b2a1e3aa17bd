// The classes that JavaScript holds: a model, a policy, the ranks of a run, a cancel flag. They own shared pointers only. Memory is freed on the executor by
// dispose(), or by the garbage collector once no job runs.
#pragma once

#include <napi.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "binding/conversions.h"
#include "binding/job.h"
#include "core/block_allocator.h"
#include "core/cancel.h"
#include "core/errors.h"
#include "distributed/collectives.h"
#include "distributed/switchboard.h"
#include "model/decoder.h"
#include "rollout/generate.h"
#include "train/policy.h"

namespace magrpo::binding {

// State that a model handle shares with its jobs.
struct ModelState {
  std::shared_ptr<model::Decoder> decoder;
  std::shared_ptr<const rollout::TokenBytes> token_bytes;
  std::string device;
  int64_t parameter_count = 0;
  int64_t weight_bytes = 0;
  std::atomic<bool> has_full_policy{false};
  std::vector<model::TensorInfo> tensors;
};

// State that a policy handle shares with its jobs.
struct PolicyState {
  // A full policy occupies the model's only place for one; see ModelState::has_full_policy.
  PolicyState(std::shared_ptr<ModelState> model, bool full) : model(std::move(model)), holds_place(full) {
    if (full) this->model->has_full_policy = true;
  }
  // Frees the place however the policy ends: disposed, collected or never made.
  ~PolicyState() { release(); }
  PolicyState(const PolicyState&) = delete;
  PolicyState& operator=(const PolicyState&) = delete;

  void release() {
    policy.reset();
    core::release_cached_blocks();
    if (holds_place) model->has_full_policy = false;
    holds_place = false;
  }

  const std::shared_ptr<ModelState> model;
  std::shared_ptr<train::Policy> policy;
  bool holds_place;
};

// State that a ranks handle shares with its jobs.
struct RanksState {
  std::unique_ptr<distributed::Switchboard> switchboard;
  // Connections for tensors by their members, and the one that was asked for last.
  std::map<std::vector<int>, std::unique_ptr<distributed::Collectives>> groups;
  distributed::Collectives* collectives = nullptr;
};

// What the classes share. A method's core::Error reaches JavaScript as an error with its code.
template <typename Self, typename State>
class Handle : public Napi::ObjectWrap<Self> {
 public:
  using Napi::ObjectWrap<Self>::ObjectWrap;

  // A new handle of the class that `constructor` makes.
  static Napi::Object wrap(const Napi::FunctionReference& constructor, std::shared_ptr<State> state) {
    const Napi::Object object = constructor.New({});
    Self* handle = Self::Unwrap(object);
    handle->state_ = std::move(state);
    handle->describe(object);
    return object;
  }

  // The state, or a thrown ERR_DISPOSED.
  std::shared_ptr<State> state() const {
    core::check(state_ != nullptr, "ERR_DISPOSED", "The ", Self::kName, " was used after it was disposed.");
    return state_;
  }

 protected:
  template <Napi::Value (Self::*method)(const Napi::CallbackInfo&)>
  static Napi::ClassPropertyDescriptor<Self> exported(const char* name) {
    return Self::InstanceMethod(name, &Handle::template call<method>);
  }

  std::shared_ptr<State> state_;

 private:
  template <Napi::Value (Self::*method)(const Napi::CallbackInfo&)>
  Napi::Value call(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] { return (static_cast<Self*>(this)->*method)(info); });
  }
};

class CancelFlagHandle : public Napi::ObjectWrap<CancelFlagHandle> {
 public:
  static constexpr napi_type_tag kTag{0x6d61677270000001, 0x9f0b7c2de4a15836};
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "CancelFlag", {InstanceMethod<&CancelFlagHandle::cancel>("cancel")});
  }
  explicit CancelFlagHandle(const Napi::CallbackInfo& info) : ObjectWrap(info) { Value().TypeTag(&kTag); }
  const core::CancelFlagPtr& flag() const { return flag_; }

 private:
  void cancel(const Napi::CallbackInfo&) { flag_->cancel(); }

  core::CancelFlagPtr flag_ = std::make_shared<core::CancelFlag>();
};

class ModelHandle : public Handle<ModelHandle, ModelState> {
 public:
  static constexpr const char* kName = "model";
  static Napi::Function define(Napi::Env env);
  using Handle::Handle;
  void Finalize(Napi::Env env) override;
  // Sets the properties of a new handle.
  void describe(Napi::Object self) const;

 private:
  Napi::Value create_policy(const Napi::CallbackInfo& info);
  Napi::Value set_token_bytes(const Napi::CallbackInfo& info);
  Napi::Value generate(const Napi::CallbackInfo& info);
  Napi::Value log_probs(const Napi::CallbackInfo& info);
  Napi::Value accumulate(const Napi::CallbackInfo& info);
  Napi::Value logits(const Napi::CallbackInfo& info);
  Napi::Value tensors(const Napi::CallbackInfo& info);
  Napi::Value write_tensors(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  Napi::Value score(const Napi::CallbackInfo& info, bool with_gradient);
};

class PolicyHandle : public Handle<PolicyHandle, PolicyState> {
 public:
  static constexpr const char* kName = "policy";
  static constexpr napi_type_tag kTag{0x6d61677270000002, 0x41d8e35a90c7f26b};
  static Napi::Function define(Napi::Env env);
  explicit PolicyHandle(const Napi::CallbackInfo& info) : Handle(info) { Value().TypeTag(&kTag); }
  // Sets the properties of a new handle.
  void describe(Napi::Object self) const;

 private:
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value zero_grad(const Napi::CallbackInfo& info);
  Napi::Value attach_value_head(const Napi::CallbackInfo& info);
  Napi::Value tensors(const Napi::CallbackInfo& info);
  Napi::Value write_tensors(const Napi::CallbackInfo& info);
  Napi::Value read_tensors(const Napi::CallbackInfo& info);
  Napi::Value end_slot(const Napi::CallbackInfo& info);
  Napi::Value sum_slots(const Napi::CallbackInfo& info);
  Napi::Value sum_gradients(const Napi::CallbackInfo& info);
  Napi::Value copy_from_first(const Napi::CallbackInfo& info);
  Napi::Value spread(const Napi::CallbackInfo& info);
  Napi::Value offload(const Napi::CallbackInfo& info);
  Napi::Value optimizer_bytes(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
};

class RanksHandle : public Handle<RanksHandle, RanksState> {
 public:
  static constexpr const char* kName = "ranks";
  static constexpr napi_type_tag kTag{0x6d61677270000003, 0x1b9d02c6f57e48a3};
  static Napi::Function define(Napi::Env env);
  explicit RanksHandle(const Napi::CallbackInfo& info) : Handle(info) { Value().TypeTag(&kTag); }
  void describe(Napi::Object) const {}

 private:
  Napi::Value join(const Napi::CallbackInfo& info);
  Napi::Value connect(const Napi::CallbackInfo& info);
  Napi::Value gather(const Napi::CallbackInfo& info);
  Napi::Value tell(const Napi::CallbackInfo& info);
  Napi::Value traffic(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
};

// The addon's openRanks(place, listener).
Napi::Value open_ranks(const Napi::CallbackInfo& info);

// The addon's loadModel(spec, job).
Napi::Value load_model(const Napi::CallbackInfo& info);

// The addon's checkKernels(device, quick, job) and deviceSpeed(device, sizes, job).
Napi::Value check_kernels(const Napi::CallbackInfo& info);
Napi::Value device_speed(const Napi::CallbackInfo& info);

// Options that every asynchronous call may get as its argument number `index`: { cancel }.
core::CancelFlagPtr cancel_option(const Napi::CallbackInfo& info, size_t index);

// The native object behind a handle. Tags are compared first: napi_unwrap does not look at types, and a prototype can be set.
template <typename Class>
Class* unwrap(const Napi::Value& value, const char* what) {
  core::check_argument(value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&Class::kTag), "Expected ", what, ".");
  return Class::Unwrap(value.As<Napi::Object>());
}

}  // namespace magrpo::binding
