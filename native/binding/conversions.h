// JavaScript values to plain structs and back. Everything that comes from JavaScript is checked here; nothing later sees Napi.
// Checks throw core::Error, which `guarded` turns into JavaScript's.
#pragma once

#include <napi.h>

#include <algorithm>
#include <string>
#include <type_traits>
#include <vector>

#include "core/errors.h"
#include "core/token_tree.h"
#include "model/config.h"
#include "model/weights.h"
#include "rollout/generate.h"
#include "train/pass.h"
#include "train/policy.h"

namespace magrpo::binding {

// Runs `body`, turning a core::Error into a JavaScript error.
template <typename Body>
Napi::Value guarded(Napi::Env env, Body&& body) {
  try {
    return body();
  } catch (const core::Error& error) {
    const Napi::Error thrown = Napi::Error::New(env, error.what());
    thrown.Value().Set("code", error.code());
    throw thrown;
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

struct ArrayKind {
  napi_typedarray_type type;
  const char* name;
};
// Of typed arrays of T.
template <typename T>
constexpr ArrayKind kArrayKind = std::is_same_v<T, float>      ? ArrayKind{napi_float32_array, "a Float32Array"}
                                 : std::is_same_v<T, int32_t>  ? ArrayKind{napi_int32_array, "an Int32Array"}
                                 : std::is_same_v<T, uint32_t> ? ArrayKind{napi_uint32_array, "a Uint32Array"}
                                                               : ArrayKind{napi_uint8_array, "a Uint8Array"};

// Whether it is a typed array of T.
template <typename T>
bool is_array(const Napi::Value& value) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == kArrayKind<T>.type;
}

// Copies a typed array; an error names it by the parts of `where`.
template <typename T, typename... Where>
std::vector<T> numbers(const Napi::Value& value, const Where&... where) {
  core::check_argument(is_array<T>(value), "Expected ", kArrayKind<T>.name, where..., ".");
  const auto array = value.As<Napi::TypedArrayOf<T>>();
  return std::vector<T>(array.Data(), array.Data() + array.ElementLength());
}

// Copies a typed array field.
template <typename T>
std::vector<T> array_field(const Napi::Object& object, const char* name) {
  return numbers<T>(object.Get(name), " in field \"", name, "\"");
}

// Copies a typed array field that may be left out: empty then.
template <typename T>
std::vector<T> optional_field(const Napi::Object& object, const char* name) {
  return object.Get(name).IsUndefined() ? std::vector<T>() : array_field<T>(object, name);
}

core::TokenTree tree_field(const Napi::Object& object, const char* name);
model::Config model_config(const Napi::Object& object);
std::vector<model::TensorSource> tensor_sources(const Napi::Value& value);
rollout::Sampling sampling(const Napi::Object& object);
// { clip?: { low, high }, kl?: { estimator, coefficient }, entropyCoefficient? }, or undefined.
train::LossSettings loss_settings(const Napi::Value& value);
train::MomentKind moment_kind(const std::string& name);
train::StepOptions step_options(const Napi::Object& object);

Napi::Value to_js(Napi::Env env, const rollout::RowResult& result);
Napi::Value to_js(Napi::Env env, const rollout::GenerateResult& result);
Napi::Value to_js(Napi::Env env, const train::ScoreResult& result);
Napi::Value to_js(Napi::Env env, const train::StepResult& result);
Napi::Value to_js(Napi::Env env, const model::TensorInfo& tensor);

// Booleans, numbers, strings and what is JavaScript's already.
template <typename T>
Napi::Value to_js(Napi::Env env, const T& value) {
  return Napi::Value::From(env, value);
}

// Float32Arrays, Int32Arrays and Uint8Arrays; arrays of anything else.
template <typename T>
Napi::Value to_js(Napi::Env env, const std::vector<T>& values) {
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, int32_t> || std::is_same_v<T, uint8_t>) {
    auto array = Napi::TypedArrayOf<T>::New(env, values.size());
    std::copy(values.begin(), values.end(), array.Data());
    return array;
  } else {
    const auto array = Napi::Array::New(env, values.size());
    for (uint32_t i = 0; i < values.size(); ++i) array.Set(i, to_js(env, values[i]));
    return array;
  }
}

// An object of names and values, which alternate.
template <typename... Fields>
Napi::Object to_object(Napi::Env env, const Fields&... fields) {
  const auto object = Napi::Object::New(env);
  const auto set = [&](const auto& self, const char* name, const auto& value, const auto&... rest) -> void {
    object.Set(name, to_js(env, value));
    if constexpr (sizeof...(rest) > 0) self(self, rest...);
  };
  set(set, fields...);
  return object;
}

}  // namespace magrpo::binding
