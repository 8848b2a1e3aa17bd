#include "binding/call.h"
#include "core/errors.h"

namespace magrpo::binding {
namespace {

train::Section section_argument(const Napi::CallbackInfo& info) {
  const std::string name = string_argument(info, 0, "the tensors' kind");
  if (name == "weights") return train::Section::kWeights;
  if (name == "optimizer") return train::Section::kOptimizer;
  if (name == "gradients") return train::Section::kGradients;
  if (name == "valueHead") return train::Section::kValueHead;
  throw_error(info.Env(), "ERR_ARGUMENT", core::concat("Expected weights, optimizer, gradients or valueHead but received \"", name, "\"."));
}

// A job that changes the policy; a full policy writes the model's own weights.
JobSpec writing_job(const std::shared_ptr<PolicyState>& state, const Napi::Object& self) {
  JobSpec spec;
  spec.device = state->model->device;
  spec.writes.push_back(state->policy.get());
  (state->policy->is_full() ? spec.writes : spec.reads).push_back(&state->policy->decoder());
  spec.keep_alive.push_back(Napi::Persistent(self));
  return spec;
}

}  // namespace

Napi::Function PolicyHandle::define(Napi::Env env) {
  return DefineClass(env, "Policy",
                     {InstanceMethod<&PolicyHandle::step>("step"), InstanceMethod<&PolicyHandle::zero_grad>("zeroGrad"),
                      InstanceMethod<&PolicyHandle::attach_value_head>("attachValueHead"),
                      InstanceMethod<&PolicyHandle::tensors>("tensors"),
                      InstanceMethod<&PolicyHandle::write_tensors>("writeTensors"),
                      InstanceMethod<&PolicyHandle::read_tensors>("readTensors"),
                      InstanceMethod<&PolicyHandle::dispose>("dispose")});
}

PolicyHandle::PolicyHandle(const Napi::CallbackInfo& info) : ObjectWrap(info) { Value().TypeTag(&kTag); }

void PolicyHandle::adopt(std::shared_ptr<PolicyState> state) {
  state_ = std::move(state);
  Napi::Object self = Value();
  self.Set("kind", state_->policy->is_full() ? "full" : "lora");
  self.Set("parameterCount", static_cast<double>(state_->policy->parameter_count()));
}

std::shared_ptr<PolicyState> PolicyHandle::state(Napi::Env env) const {
  if (!state_) throw_error(env, "ERR_DISPOSED", "The policy was used after it was disposed.");
  return state_;
}

Napi::Value PolicyHandle::step(const Napi::CallbackInfo& info) {
  // Arguments first: reading them may run getters, and these may dispose the policy.
  const train::StepOptions options = step_options(object_argument(info, 0, "the step's options"));
  const core::CancelFlagPtr cancel = cancel_option(info, 1);
  const auto current = state(info.Env());
  JobSpec spec = writing_job(current, Value());
  spec.cancel = cancel;
  auto result = std::make_shared<train::StepResult>();
  spec.result = [result](Napi::Env env) { return to_js(env, *result); };
  return start(info.Env(), std::move(spec), [current, options, result] { *result = current->policy->step(options); });
}

Napi::Value PolicyHandle::zero_grad(const Napi::CallbackInfo& info) {
  const auto current = state(info.Env());
  return start(info.Env(), writing_job(current, Value()), [current] { current->policy->zero_gradients(); });
}

Napi::Value PolicyHandle::attach_value_head(const Napi::CallbackInfo& info) {
  const Napi::Object options = object_argument(info, 0, "the value head's settings");
  const int64_t hidden_size = integer_field(options, "hiddenSize");
  const int64_t seed = integer_field(options, "seed");
  const auto current = state(info.Env());
  return start(info.Env(), writing_job(current, Value()),
               [current, hidden_size, seed] { current->policy->attach_value_head(hidden_size, static_cast<uint64_t>(seed)); });
}

Napi::Value PolicyHandle::tensors(const Napi::CallbackInfo& info) {
  return to_js(info.Env(), state(info.Env())->policy->describe(section_argument(info)));
}

Napi::Value PolicyHandle::write_tensors(const Napi::CallbackInfo& info) {
  const auto current = state(info.Env());
  const train::Section section = section_argument(info);
  const std::string file = string_argument(info, 1, "the file");
  const std::string header = bytes_argument(info, 2, "the header");
  // Writing, as slices() allocates the optimizer's moments at their first use.
  return start(info.Env(), writing_job(current, Value()),
               [current, section, file, header] { model::write_tensors(file, header, current->policy->slices(section)); });
}

Napi::Value PolicyHandle::read_tensors(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const train::Section section = section_argument(info);
  auto sources = std::make_shared<std::vector<model::TensorSource>>(guarded(env, [&] { return tensor_sources(info[1]); }));
  const auto current = state(env);
  JobSpec spec = writing_job(current, Value());
  spec.cancel = std::make_shared<core::CancelFlag>();
  return start(env, std::move(spec), [current, section, sources, cancel = spec.cancel] {
    model::read_tensors(current->policy->slices(section), *sources, cancel, nullptr);
    if (section == train::Section::kWeights) current->policy->weights_changed();
  });
}

Napi::Value PolicyHandle::dispose(const Napi::CallbackInfo& info) {
  if (!state_) return start(info.Env(), {}, [] {});
  JobSpec spec = writing_job(state_, Value());
  return start(info.Env(), std::move(spec), [state = std::exchange(state_, nullptr)] { state->release(); });
}

}  // namespace magrpo::binding
