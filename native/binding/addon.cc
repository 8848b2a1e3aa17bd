// Exports of the addon; lib/native/addon-types.ts is their documentation.
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <napi.h>
#include <torch/csrc/api/include/torch/version.h>

#include "binding/conversions.h"
#include "binding/executor.h"
#include "binding/handles.h"
#include "binding/job.h"
#include "core/block_allocator.h"
#include "core/device.h"
#include "core/errors.h"
#include "kernels/row_product/row_product.h"
#include "model/architecture.h"
#include "rollout/generate.h"
#include "train/log_prob_head.h"

#if TORCH_VERSION_MAJOR != 2 || TORCH_VERSION_MINOR < 11 || TORCH_VERSION_MINOR > 14
#error "magrpo supports libtorch 2.11 to 2.14: run `npx magrpo setup`, or point MAGRPO_LIBTORCH at one of these."
#endif

namespace magrpo::binding {
namespace {

// Sizes that the memory plan of lib/model/memory-terms.ts is made of.
Napi::Object limits(Napi::Env env) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("chunkLogits", to_js(env, train::kChunkLogits));
  result.Set("tileColumns", to_js(env, train::kTileColumns));
  result.Set("prefillTokens", to_js(env, rollout::kPrefillTokens));
  return result;
}

Napi::Array array_of(Napi::Env env, const std::vector<Napi::Value>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (size_t i = 0; i < values.size(); ++i) array.Set(static_cast<uint32_t>(i), values[i]);
  return array;
}

// The table as it was compiled, for the test that compares it with the files.
Napi::Value architectures_of(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto text = [env](const std::string& value) -> Napi::Value { return Napi::String::New(env, value); };
  const auto number = [env](auto value) -> Napi::Value { return Napi::Number::New(env, static_cast<double>(value)); };
  std::vector<Napi::Value> all;
  for (const model::Architecture& a : model::architectures()) {
    std::vector<Napi::Value> projections;
    for (const auto& [tensor, in, out] : a.projections) projections.push_back(array_of(env, {text(tensor), number(in), number(out)}));
    Napi::Object object = Napi::Object::New(env);
    object.Set("modelType", a.model_type);
    object.Set("tensors",
               array_of(env, {text(a.embedding), text(a.attention_norm), text(a.query_norm), text(a.key_norm), text(a.attention_post_norm),
                              text(a.mlp_norm), text(a.mlp_post_norm), text(a.final_norm), text(a.head)}));
    object.Set("projections", array_of(env, projections));
    object.Set("formulas", array_of(env, {number(a.activation), number(a.embedding_scale), number(a.norm_offset)}));
    all.push_back(object);
  }
  return array_of(env, all);
}

Napi::Value info_of(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string reason = core::cuda_unavailable_reason();
  Napi::Object cuda = Napi::Object::New(env);
  cuda.Set("available", reason.empty());
  cuda.Set("reason", reason.empty() ? env.Null() : Napi::String::New(env, reason).As<Napi::Value>());
  Napi::Object result = Napi::Object::New(env);
  result.Set("libtorchVersion", TORCH_VERSION);
  result.Set("variant", core::build_variant());
  result.Set("cpuCapability", at::get_cpu_capability());
  result.Set("threads", intra_op_threads());
  const auto always = kernels::row_product_is_always_faster();
  result.Set("rowProductRows", always ? env.Null() : to_js(env, kernels::kRowProductRows).As<Napi::Value>());
  result.Set("limits", limits(env));
  result.Set("cuda", cuda);
  return result;
}

Napi::Value set_threads(const Napi::CallbackInfo& info) {
  const double count = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : 0;
  if (!(count >= 1 && count <= 1024)) throw_error(info.Env(), "ERR_ARGUMENT", core::concat("Expected 1 to 1024 threads but received ", count, "."));
  set_intra_op_threads(static_cast<int>(count));
  return info.Env().Undefined();
}

Napi::Value device_memory_of(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  try {
    const core::DeviceMemory memory = core::device_memory(info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "");
    Napi::Object result = Napi::Object::New(env);
    result.Set("freeBytes", static_cast<double>(memory.free_bytes));
    result.Set("heldBytes", static_cast<double>(memory.held_bytes));
    return result;
  } catch (const core::Error& error) {
    throw_error(env, error.code(), error.what());
  }
  return env.Undefined();
}

Napi::Value live_objects(const Napi::CallbackInfo& info) {
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("models", model::Decoder::alive());
  result.Set("policies", train::Policy::alive());
  result.Set("jobs", live_jobs());
  return result;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  core::use_block_allocator();
  auto* environment = new Environment(env);
  env.SetInstanceData(environment);
  const auto define = [&](Napi::FunctionReference& reference, Napi::Function constructor) {
    reference = Napi::Persistent(constructor);
    reference.SuppressDestruct();  // the environment goes down with its values
  };
  define(environment->model_constructor, ModelHandle::define(env));
  define(environment->policy_constructor, PolicyHandle::define(env));
  define(environment->cancel_flag_constructor, CancelFlagHandle::define(env));
  exports.Set("CancelFlag", environment->cancel_flag_constructor.Value());
  exports.Set("loadModel", Napi::Function::New(env, load_model, "loadModel"));
  exports.Set("info", Napi::Function::New(env, info_of, "info"));
  exports.Set("architectures", Napi::Function::New(env, architectures_of, "architectures"));
  exports.Set("setThreads", Napi::Function::New(env, set_threads, "setThreads"));
  exports.Set("deviceMemory", Napi::Function::New(env, device_memory_of, "deviceMemory"));
  exports.Set("liveObjects", Napi::Function::New(env, live_objects, "liveObjects"));
  return exports;
}

}  // namespace

Napi::Function CancelFlagHandle::define(Napi::Env env) {
  return DefineClass(env, "CancelFlag", {InstanceMethod<&CancelFlagHandle::cancel>("cancel")});
}

CancelFlagHandle::CancelFlagHandle(const Napi::CallbackInfo& info) : ObjectWrap(info) { Value().TypeTag(&kTag); }

core::CancelFlagPtr cancel_option(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsObject()) return std::make_shared<core::CancelFlag>();
  const Napi::Value flag = info[index].As<Napi::Object>().Get("cancel");
  if (flag.IsUndefined() || flag.IsNull()) return std::make_shared<core::CancelFlag>();
  return unwrap<CancelFlagHandle>(flag, "a CancelFlag in field \"cancel\"")->flag();
}

NODE_API_MODULE(magrpo, init)

}  // namespace magrpo::binding
