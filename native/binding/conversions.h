// JavaScript values to plain structs and back. Everything that comes from JavaScript is checked here; nothing later sees Napi.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "core/token_tree.h"
#include "model/config.h"
#include "model/weights.h"
#include "rollout/generate.h"
#include "train/pass.h"
#include "train/policy.h"

namespace magrpo::binding {

// Throws a JavaScript error with `code` and `message`.
[[noreturn]] void throw_error(Napi::Env env, const std::string& code, const std::string& message);

// Runs `body`, turning a core::Error into a JavaScript error.
template <typename Body>
auto guarded(Napi::Env env, Body&& body) {
  try {
    return body();
  } catch (const core::Error& error) {
    throw_error(env, error.code(), error.what());
  }
}

// Arguments of a call; each throws ERR_ARGUMENT naming `what` if it is of another type.
Napi::Object object_argument(const Napi::CallbackInfo& info, size_t index, const char* what);
std::string string_argument(const Napi::CallbackInfo& info, size_t index, const char* what);
std::string bytes_argument(const Napi::CallbackInfo& info, size_t index, const char* what);

// Fields of an options object; each throws ERR_ARGUMENT naming the field if it is missing or of another type.
Napi::Object object_field(const Napi::Object& object, const char* name);
double number_field(const Napi::Object& object, const char* name);
int64_t integer_field(const Napi::Object& object, const char* name);
bool boolean_field(const Napi::Object& object, const char* name);
std::string string_field(const Napi::Object& object, const char* name);
std::vector<std::string> strings_field(const Napi::Object& object, const char* name);

// Copies a typed array field.
std::vector<int32_t> int32s_field(const Napi::Object& object, const char* name);
std::vector<uint32_t> uint32s_field(const Napi::Object& object, const char* name);
std::vector<float> floats_field(const Napi::Object& object, const char* name);
std::vector<uint8_t> bytes_field(const Napi::Object& object, const char* name);

// Copies a typed array field that may be left out: empty then.
template <typename T>
std::vector<T> optional_field(const Napi::Object& object, const char* name);

core::TokenTree tree_field(const Napi::Object& object, const char* name);
model::Config model_config(const Napi::Object& object);
std::vector<model::TensorSource> tensor_sources(const Napi::Value& value);
rollout::Sampling sampling(const Napi::Object& object);
// { clip?: { low, high }, kl?: { estimator, coefficient }, entropyCoefficient? }, or undefined.
train::LossSettings loss_settings(const Napi::Value& value);
train::StepOptions step_options(const Napi::Object& object);

Napi::Value to_js(Napi::Env env, const rollout::RowResult& result);
Napi::Value to_js(Napi::Env env, const rollout::GenerateResult& result);
Napi::Value to_js(Napi::Env env, const train::ScoreResult& result);
Napi::Value to_js(Napi::Env env, const train::StepResult& result);
Napi::Value to_js(Napi::Env env, const std::vector<model::TensorInfo>& tensors);
Napi::Number to_js(Napi::Env env, int64_t value);
Napi::Float32Array to_js(Napi::Env env, const std::vector<float>& values);
Napi::Int32Array to_js(Napi::Env env, const std::vector<int32_t>& values);

}  // namespace magrpo::binding
