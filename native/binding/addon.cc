// Exports of the addon; lib/native/addon-types.ts is their documentation.
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <napi.h>
#include <torch/csrc/api/include/torch/version.h>

#include <cstdlib>

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
#include "software_cuda/table.h"
#include "train/log_prob_head.h"

#if TORCH_VERSION_MAJOR != 2 || TORCH_VERSION_MINOR < 11 || TORCH_VERSION_MINOR > 14
#error "magrpo supports libtorch 2.11 to 2.14: run `npx magrpo setup`, or point MAGRPO_LIBTORCH at one of these."
#endif

namespace magrpo::binding {
namespace {

// Sizes that the memory plan of lib/model/memory-terms.ts is made of.
Napi::Object limits(Napi::Env env) {
  return to_object(env, "chunkLogits", train::kChunkLogits, "tileColumns", train::kTileColumns, "prefillTokens", rollout::kPrefillTokens);
}

// The table as it was compiled, for the test that compares it with the files.
Napi::Value architectures_of(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::vector<Napi::Value> all;
  for (const model::Architecture& a : model::architectures()) {
    std::vector<std::vector<Napi::Value>> projections;
    for (const auto& [tensor, in, out] : a.projections)
      projections.push_back({to_js(env, tensor), to_js(env, static_cast<int>(in)), to_js(env, static_cast<int>(out))});
    const std::vector<std::string> tensors{a.embedding, a.attention_norm, a.query_norm, a.key_norm, a.attention_post_norm,
                                           a.mlp_norm,  a.mlp_post_norm,  a.final_norm, a.head};
    const std::vector<double> formulas{static_cast<double>(a.activation), static_cast<double>(a.embedding_scale), a.norm_offset};
    all.push_back(to_object(env, "modelType", a.model_type, "tensors", tensors, "projections", projections, "formulas", formulas));
  }
  return to_js(env, all);
}

Napi::Value info_of(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string reason = core::cuda_unavailable_reason();
  const Napi::Value row_product_rows = kernels::row_product_is_always_faster() ? env.Null() : to_js(env, kernels::kRowProductRows);
  const Napi::Object cuda = to_object(env, "available", reason.empty(), "reason", reason.empty() ? env.Null() : to_js(env, reason));
  return to_object(env, "libtorchVersion", TORCH_VERSION, "variant", core::build_variant(), "cpuCapability", at::get_cpu_capability(),
                   "threads", intra_op_threads(), "rowProductRows", row_product_rows, "limits", limits(env), "cuda", cuda);
}

Napi::Value set_threads(const Napi::CallbackInfo& info) {
  const double count = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : 0;
  core::check_argument(count >= 1 && count <= 1024, "Expected 1 to 1024 threads but received ", count, ".");
  set_intra_op_threads(static_cast<int>(count));
  return info.Env().Undefined();
}

Napi::Value device_memory_of(const Napi::CallbackInfo& info) {
  const core::DeviceMemory memory = core::device_memory(info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "");
  return to_object(info.Env(), "freeBytes", memory.free_bytes, "heldBytes", memory.held_bytes, "peakBytes", memory.peak_bytes);
}

Napi::Value device_name_of(const Napi::CallbackInfo& info) {
  return to_js(info.Env(), core::device_name(string_argument(info, 0, "the device")));
}

Napi::Value live_objects(const Napi::CallbackInfo& info) {
  return to_object(info.Env(), "models", model::Decoder::alive(), "policies", train::Policy::alive(), "jobs", live_jobs());
}

template <Napi::Value (*function)(const Napi::CallbackInfo&)>
void export_function(Napi::Object exports, const char* name) {
  const auto call = [](const Napi::CallbackInfo& info) { return guarded(info.Env(), [&] { return function(info); }); };
  exports.Set(name, Napi::Function::New(exports.Env(), call, name));
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  core::use_block_allocator();
#if !defined(MAGRPO_CUDA) && defined(__linux__)
  software_cuda::load_if_wanted();
#else
  const char* wanted = std::getenv("MAGRPO_DEVICE");
  core::check(wanted == nullptr || *wanted == '\0', "ERR_DEVICE",
              "MAGRPO_DEVICE needs a CPU build on Linux: unset it, or MAGRPO_CUDA where that is set.");
#endif
  auto* environment = new Environment(env);
  env.SetInstanceData(environment);
  const auto define = [&](Napi::FunctionReference& reference, Napi::Function constructor) {
    reference = Napi::Persistent(constructor);
    reference.SuppressDestruct();  // the environment goes down with its values
  };
  define(environment->model_constructor, ModelHandle::define(env));
  define(environment->policy_constructor, PolicyHandle::define(env));
  define(environment->ranks_constructor, RanksHandle::define(env));
  exports.Set("CancelFlag", CancelFlagHandle::define(env));
  export_function<load_model>(exports, "loadModel");
  export_function<open_ranks>(exports, "openRanks");
  export_function<info_of>(exports, "info");
  export_function<architectures_of>(exports, "architectures");
  export_function<set_threads>(exports, "setThreads");
  export_function<device_memory_of>(exports, "deviceMemory");
  export_function<device_name_of>(exports, "deviceName");
  export_function<check_kernels>(exports, "checkKernels");
  export_function<device_speed>(exports, "deviceSpeed");
  export_function<live_objects>(exports, "liveObjects");
  return exports;
}

}  // namespace

core::CancelFlagPtr cancel_option(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsObject()) return std::make_shared<core::CancelFlag>();
  const Napi::Value flag = info[index].As<Napi::Object>().Get("cancel");
  if (flag.IsUndefined() || flag.IsNull()) return std::make_shared<core::CancelFlag>();
  return unwrap<CancelFlagHandle>(flag, "a CancelFlag in field \"cancel\"")->flag();
}

NODE_API_MODULE(magrpo, init)

}  // namespace magrpo::binding
