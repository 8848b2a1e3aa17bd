#include <algorithm>

#include "binding/call.h"
#include "core/block_allocator.h"
#include "model/weights.h"

namespace magrpo::binding {

Napi::Function ModelHandle::define(Napi::Env env) {
  return DefineClass(env, "Model",
                     {InstanceMethod<&ModelHandle::create_policy>("createPolicy"),
                      InstanceMethod<&ModelHandle::set_token_bytes>("setTokenBytes"),
                      InstanceMethod<&ModelHandle::generate>("generate"),
                      InstanceMethod<&ModelHandle::log_probs>("logProbs"),
                      InstanceMethod<&ModelHandle::accumulate>("accumulate"),
                      InstanceMethod<&ModelHandle::logits>("logits"),
                      InstanceMethod<&ModelHandle::tensors>("tensors"),
                      InstanceMethod<&ModelHandle::write_tensors>("writeTensors"),
                      InstanceMethod<&ModelHandle::dispose>("dispose")});
}

ModelHandle::ModelHandle(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

void ModelHandle::adopt(std::shared_ptr<ModelState> state) {
  state_ = std::move(state);
  Napi::Object self = Value();
  self.Set("parameterCount", static_cast<double>(state_->parameter_count));
  self.Set("weightBytes", static_cast<double>(state_->weight_bytes));
}

void ModelHandle::Finalize(Napi::Env env) {
  if (state_) Napi::MemoryManagement::AdjustExternalMemory(env, -state_->weight_bytes);
}

std::shared_ptr<ModelState> ModelHandle::state(Napi::Env env) const {
  if (!state_) throw_error(env, "ERR_DISPOSED", "The model was used after it was disposed.");
  return state_;
}

Napi::Value ModelHandle::set_token_bytes(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto model = state(env);
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_int32_array)
    throw_error(env, "ERR_ARGUMENT", "Expected an Int32Array for the tokens' offsets.");
  const auto offset = info[0].As<Napi::Int32Array>();
  auto table = std::make_shared<rollout::TokenBytes>();
  table->offset.assign(offset.Data(), offset.Data() + offset.ElementLength());
  table->bytes = bytes_argument(info, 1, "the tokens' bytes");
  const bool rising = !table->offset.empty() && table->offset.front() == 0 &&
                      std::is_sorted(table->offset.begin(), table->offset.end()) &&
                      table->offset.back() == static_cast<int64_t>(table->bytes.size());
  if (!rising) throw_error(env, "ERR_ARGUMENT", "Expected rising offsets from 0 to the number of bytes.");
  model->token_bytes = std::move(table);
  return env.Undefined();
}

Napi::Value ModelHandle::tensors(const Napi::CallbackInfo& info) { return to_js(info.Env(), state(info.Env())->tensors); }

Napi::Value ModelHandle::write_tensors(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto model = state(env);
  const std::string file = string_argument(info, 0, "the file");
  const std::string header = bytes_argument(info, 1, "the header");
  JobSpec spec;
  depend_on(spec, model, Value());
  return start(env, std::move(spec), [model, file, header] {
    model::write_tensors(file, header, model::named_slices(model->decoder->config(), model->decoder->weights()));
  });
}

Napi::Value ModelHandle::dispose(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  JobSpec spec;
  if (!state_) return start(env, std::move(spec), [] {});
  // Runs after every job that reads the model. Other owners of the decoder (a policy, a call whose getters ran this) keep it alive.
  spec.device = state_->device;
  spec.writes.push_back(state_->decoder.get());
  Napi::MemoryManagement::AdjustExternalMemory(env, -state_->weight_bytes);
  return start(env, std::move(spec), [state = std::exchange(state_, nullptr)]() mutable {
    state.reset();
    core::release_cached_blocks();
  });
}

}  // namespace magrpo::binding
