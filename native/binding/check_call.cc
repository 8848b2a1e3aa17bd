// Checking and measuring a device; lib/native/addon-types.ts is their documentation.
#include "binding/call.h"
#include "check/device_speed.h"
#include "core/device.h"

#if defined(MAGRPO_CUDA) || defined(__linux__)
#include "check/kernel_check.h"
#endif

namespace magrpo::binding {

#if defined(MAGRPO_CUDA) || defined(__linux__)

namespace {

Napi::Value to_js(Napi::Env env, const check::KernelResult& result) {
  return to_object(env, "kernel", result.kernel, "shape", result.shape, "dtype", result.dtype, "difference", result.difference, "bound",
                   result.bound, "passed", result.passed, "where", result.where, "expected", result.expected, "seen", result.seen);
}

}  // namespace

Napi::Value check_kernels(const Napi::CallbackInfo& info) {
  const std::string name = string_argument(info, 0, "the device");
  const c10::Device device = core::resolve_cuda_device(name);
  const bool quick = info[1].ToBoolean();
  JobSpec spec;
  spec.device = name;
  spec.cancel = cancel_option(info, 2);
  const auto work = std::make_shared<check::KernelCheck>(device, quick);
  spec.advance = [work] { return work->advance(); };
  spec.result = [work](Napi::Env env) {
    std::vector<Napi::Value> results;
    for (const check::KernelResult& result : work->take_result()) results.push_back(to_js(env, result));
    return binding::to_js(env, results);
  };
  return Environment::of(info.Env()).start(info.Env(), std::move(spec));
}

#else

Napi::Value check_kernels(const Napi::CallbackInfo& info) {
  core::resolve_cuda_device(string_argument(info, 0, "the device"));
  return info.Env().Undefined();  // there is no such device here, so that it threw
}

#endif

Napi::Value device_speed(const Napi::CallbackInfo& info) {
  const std::string name = string_argument(info, 0, "the device");
  const c10::Device device = core::resolve_device(name);
  const auto sizes = object_argument(info, 1, "the sizes");
  const int64_t bytes = integer_field(sizes, "bytes"), size = integer_field(sizes, "size");
  core::check_argument(bytes > 0 && size > 0, "Expected positive sizes but received ", bytes, " bytes and ", size, ".");
  JobSpec spec;
  spec.device = name;
  spec.cancel = cancel_option(info, 2);
  const auto speed = std::make_shared<check::DeviceSpeed>();
  spec.result = [speed](Napi::Env env) {
    return to_object(env, "bytesPerSecond", speed->bytes_per_second, "float32", speed->float32_flops_per_second, "bfloat16",
                     speed->bfloat16_flops_per_second);
  };
  return start(info.Env(), std::move(spec), [speed, device, bytes, size] { *speed = check::measure_speed(device, bytes, size); });
}

}  // namespace magrpo::binding
