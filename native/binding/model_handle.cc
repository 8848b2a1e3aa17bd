#include <c10/core/TensorOptions.h>

#include <algorithm>

#include "binding/call.h"
#include "core/block_allocator.h"
#include "core/device.h"
#include "kernels/tree_attention/plan.h"
#include "model/weights.h"

namespace magrpo::binding {
namespace {

struct LoadRequest {
  model::Config config;
  std::vector<model::TensorSource> sources;
  at::ScalarType dtype = at::kFloat;
  std::string device;
};

LoadRequest load_request(const Napi::Object& object) {
  LoadRequest request;
  const std::string dtype = string_field(object, "dtype");
  core::check_argument(dtype == "float32" || dtype == "bfloat16", "Expected dtype float32 or bfloat16 but received \"", dtype, "\".");
  request.dtype = dtype == "float32" ? at::kFloat : at::kBFloat16;
  request.device = string_field(object, "device");
  const bool is_cuda = core::resolve_device(request.device).is_cuda();
  request.config = model_config(object_field(object, "config"));
  core::check(!is_cuda || request.config.head_dim <= kernels::kMaxHeadDimCuda, "ERR_MODEL_UNSUPPORTED", "Expected heads of up to ",
              kernels::kMaxHeadDimCuda, " numbers on a GPU but head_dim is ", request.config.head_dim, ". Use device \"cpu\".");
  request.sources = tensor_sources(object.Get("tensors"));
  return request;
}

using Progress = std::function<void(const int64_t& done, const int64_t& total)>;

void load(const LoadRequest& request, const core::CancelFlagPtr& cancel, const Progress& progress, ModelState& made) {
  const auto options = at::TensorOptions().dtype(request.dtype).device(core::resolve_device(request.device));
  // Before memory is allocated: a wrong number in config.json may ask for more than there is.
  model::check_shapes(model::named_slices(request.config, model::allocate_weights(request.config, options.device(at::kMeta))),
                      request.sources);
  model::Weights weights = model::allocate_weights(request.config, options);
  if (!options.device().is_meta()) model::read_tensors(model::named_slices(request.config, weights), request.sources, cancel, progress);
  made.device = request.device;
  for (const auto& slice : model::named_slices(request.config, weights)) {
    made.parameter_count += slice.view().numel();
    made.tensors.push_back({slice.name, slice.tensor.scalar_type(), slice.view().sizes().vec()});
  }
  made.weight_bytes = made.parameter_count * static_cast<int64_t>(weights.embedding.element_size());
  made.decoder = std::make_shared<model::Decoder>(request.config, std::move(weights));
  core::release_cached_blocks();  // of the buffers that files were read into
}

}  // namespace

Napi::Value load_model(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  LoadRequest request = load_request(object_argument(info, 0, "the model"));
  JobSpec spec;
  spec.device = request.device;
  spec.cancel = cancel_option(info, 1);
  Progress progress;
  if (info[1].IsObject()) progress = event_option<int64_t, int64_t>(spec, info[1].As<Napi::Object>(), "onProgress");
  auto made = std::make_shared<ModelState>();
  spec.result = [made](Napi::Env env) { return ModelHandle::wrap(Environment::of(env).model_constructor, made); };
  return start(env, std::move(spec),
               [made, request = std::move(request), cancel = spec.cancel, progress] { load(request, cancel, progress, *made); });
}

Napi::Function ModelHandle::define(Napi::Env env) {
  return DefineClass(env, "Model",
                     {exported<&ModelHandle::create_policy>("createPolicy"), exported<&ModelHandle::set_token_bytes>("setTokenBytes"),
                      exported<&ModelHandle::generate>("generate"), exported<&ModelHandle::log_probs>("logProbs"),
                      exported<&ModelHandle::accumulate>("accumulate"), exported<&ModelHandle::logits>("logits"),
                      exported<&ModelHandle::tensors>("tensors"), exported<&ModelHandle::write_tensors>("writeTensors"),
                      exported<&ModelHandle::dispose>("dispose")});
}

void ModelHandle::describe(Napi::Object self) const {
  self.Set("parameterCount", static_cast<double>(state_->parameter_count));
  self.Set("weightBytes", static_cast<double>(state_->weight_bytes));
  Napi::MemoryManagement::AdjustExternalMemory(self.Env(), state_->weight_bytes);
}

void ModelHandle::Finalize(Napi::Env env) {
  if (state_) Napi::MemoryManagement::AdjustExternalMemory(env, -state_->weight_bytes);
}

Napi::Value ModelHandle::set_token_bytes(const Napi::CallbackInfo& info) {
  const auto model = state();
  auto table = std::make_shared<rollout::TokenBytes>();
  table->offset = numbers<int32_t>(info[0], " for the tokens' offsets");
  table->bytes = bytes_argument(info, 1, "the tokens' bytes");
  const bool rising = !table->offset.empty() && table->offset.front() == 0 && std::is_sorted(table->offset.begin(), table->offset.end()) &&
                      table->offset.back() == static_cast<int64_t>(table->bytes.size());
  core::check_argument(rising, "Expected rising offsets from 0 to the number of bytes.");
  model->token_bytes = std::move(table);
  return info.Env().Undefined();
}

Napi::Value ModelHandle::tensors(const Napi::CallbackInfo& info) { return to_js(info.Env(), state()->tensors); }

Napi::Value ModelHandle::write_tensors(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto model = state();
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
