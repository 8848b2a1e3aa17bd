#include <c10/core/TensorOptions.h>

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
  const Napi::Env env = object.Env();
  LoadRequest request;
  const std::string dtype = string_field(object, "dtype");
  if (dtype != "float32" && dtype != "bfloat16")
    throw_error(env, "ERR_ARGUMENT", core::concat("Expected dtype float32 or bfloat16 but received \"", dtype, "\"."));
  request.dtype = dtype == "float32" ? at::kFloat : at::kBFloat16;
  request.device = string_field(object, "device");
  const bool is_cuda = guarded(env, [&] { return core::resolve_device(request.device); }).is_cuda();
  request.config = guarded(env, [&] { return model_config(object_field(object, "config")); });
  if (is_cuda && request.config.head_dim > kernels::kMaxHeadDimCuda)
    throw_error(env, "ERR_MODEL_UNSUPPORTED",
                core::concat("Expected heads of up to ", kernels::kMaxHeadDimCuda, " numbers on a GPU but head_dim is ",
                             request.config.head_dim, ". Use device \"cpu\"."));
  request.sources = guarded(env, [&] { return tensor_sources(object.Get("tensors")); });
  return request;
}

using Progress = std::function<void(const int64_t& done, const int64_t& total)>;

void load(const LoadRequest& request, const core::CancelFlagPtr& cancel, const Progress& progress, ModelState& made) {
  const auto options = at::TensorOptions().dtype(request.dtype).device(core::resolve_device(request.device));
  // Before memory is allocated: a wrong number in config.json may ask for more than there is.
  model::check_shapes(model::named_slices(request.config, model::allocate_weights(request.config, options.device(at::kMeta))), request.sources);
  model::Weights weights = model::allocate_weights(request.config, options);
  model::read_tensors(model::named_slices(request.config, weights), request.sources, cancel, progress);
  made.device = request.device;
  made.parameter_count = weights.parameter_count();
  made.weight_bytes = made.parameter_count * static_cast<int64_t>(weights.embedding.element_size());
  for (const auto& slice : model::named_slices(request.config, weights))
    made.tensors.push_back({slice.name, slice.tensor.scalar_type(), slice.view().sizes().vec()});
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
  spec.result = [made](Napi::Env env) -> Napi::Value {
    const Napi::Object handle = Environment::of(env).model_constructor.New({});
    ModelHandle::Unwrap(handle)->adopt(made);
    Napi::MemoryManagement::AdjustExternalMemory(env, made->weight_bytes);
    return handle;
  };
  return start(env, std::move(spec), [made, request = std::move(request), cancel = spec.cancel, progress] {
    load(request, cancel, progress, *made);
  });
}

}  // namespace magrpo::binding
