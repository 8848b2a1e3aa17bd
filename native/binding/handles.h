// The classes that JavaScript holds: a model, a policy, a cancel flag. They own shared pointers only. Memory is freed on the executor by
// dispose(), or by the garbage collector once no job runs.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "binding/conversions.h"
#include "binding/job.h"
#include "core/block_allocator.h"
#include "core/cancel.h"
#include "core/errors.h"
#include "core/live_objects.h"
#include "model/decoder.h"
#include "rollout/generate.h"
#include "train/policy.h"

namespace magrpo::binding {

// State that a model handle shares with its jobs.
struct ModelState : core::Counted<ModelState> {
  using core::Counted<ModelState>::alive;
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

class CancelFlagHandle : public Napi::ObjectWrap<CancelFlagHandle> {
 public:
  static constexpr napi_type_tag kTag{0x6d61677270000001, 0x9f0b7c2de4a15836};
  static Napi::Function define(Napi::Env env);
  explicit CancelFlagHandle(const Napi::CallbackInfo& info);
  const core::CancelFlagPtr& flag() const { return flag_; }

 private:
  void cancel(const Napi::CallbackInfo&) { flag_->cancel(); }

  core::CancelFlagPtr flag_ = std::make_shared<core::CancelFlag>();
};

class ModelHandle : public Napi::ObjectWrap<ModelHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  // Made by load_model only, which fills in the state.
  explicit ModelHandle(const Napi::CallbackInfo& info);
  void adopt(std::shared_ptr<ModelState> state);
  void Finalize(Napi::Env env) override;

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
  // The state, or a thrown ERR_DISPOSED.
  std::shared_ptr<ModelState> state(Napi::Env env) const;

  std::shared_ptr<ModelState> state_;
};

class PolicyHandle : public Napi::ObjectWrap<PolicyHandle> {
 public:
  static constexpr napi_type_tag kTag{0x6d61677270000002, 0x41d8e35a90c7f26b};
  static Napi::Function define(Napi::Env env);
  explicit PolicyHandle(const Napi::CallbackInfo& info);
  void adopt(std::shared_ptr<PolicyState> state);
  std::shared_ptr<PolicyState> state(Napi::Env env) const;

 private:
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value zero_grad(const Napi::CallbackInfo& info);
  Napi::Value attach_value_head(const Napi::CallbackInfo& info);
  Napi::Value tensors(const Napi::CallbackInfo& info);
  Napi::Value write_tensors(const Napi::CallbackInfo& info);
  Napi::Value read_tensors(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<PolicyState> state_;
};

// The addon's loadModel(spec, job).
Napi::Value load_model(const Napi::CallbackInfo& info);

// Options that every asynchronous call may get as its argument number `index`: { cancel }.
core::CancelFlagPtr cancel_option(const Napi::CallbackInfo& info, size_t index);

// The native object behind a handle. Tags are compared first: napi_unwrap does not look at types, and a prototype can be set.
template <typename Handle>
Handle* unwrap(const Napi::Value& value, const char* what) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&Handle::kTag))
    throw_error(value.Env(), "ERR_ARGUMENT", core::concat("Expected ", what, "."));
  return Handle::Unwrap(value.As<Napi::Object>());
}

}  // namespace magrpo::binding
