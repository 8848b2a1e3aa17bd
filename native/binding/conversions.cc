#include "binding/conversions.h"

#include <cmath>
#include <cstring>

#include "core/errors.h"

namespace magrpo::binding {
namespace {

Napi::Value field(const Napi::Object& object, const char* name, const char* expected, bool (Napi::Value::*is)() const) {
  const Napi::Value value = object.Get(name);
  if (!(value.*is)()) throw_error(object.Env(), "ERR_ARGUMENT", core::concat("Expected ", expected, " in field \"", name, "\"."));
  return value;
}

template <typename T>
std::vector<T> array_field(const Napi::Object& object, const char* name, napi_typedarray_type type, const char* expected) {
  const Napi::Value value = object.Get(name);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type)
    throw_error(object.Env(), "ERR_ARGUMENT", core::concat("Expected ", expected, " in field \"", name, "\"."));
  const auto array = value.As<Napi::TypedArrayOf<T>>();
  return std::vector<T>(array.Data(), array.Data() + array.ElementLength());
}

template <typename Array, typename T>
Array copy_to_js(Napi::Env env, const std::vector<T>& values) {
  Array array = Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(T));
  return array;
}

}  // namespace

void throw_error(Napi::Env env, const std::string& code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Value().Set("code", Napi::String::New(env, code));
  throw error;
}

Napi::Object object_argument(const Napi::CallbackInfo& info, size_t index, const char* what) {
  if (!info[index].IsObject()) throw_error(info.Env(), "ERR_ARGUMENT", core::concat("Expected an object for ", what, "."));
  return info[index].As<Napi::Object>();
}

std::string string_argument(const Napi::CallbackInfo& info, size_t index, const char* what) {
  if (!info[index].IsString()) throw_error(info.Env(), "ERR_ARGUMENT", core::concat("Expected a string for ", what, "."));
  return info[index].As<Napi::String>().Utf8Value();
}

std::string bytes_argument(const Napi::CallbackInfo& info, size_t index, const char* what) {
  if (!info[index].IsTypedArray() || info[index].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw_error(info.Env(), "ERR_ARGUMENT", core::concat("Expected a Uint8Array for ", what, "."));
  const auto bytes = info[index].As<Napi::Uint8Array>();
  return {reinterpret_cast<const char*>(bytes.Data()), bytes.ElementLength()};
}

Napi::Object object_field(const Napi::Object& object, const char* name) {
  return field(object, name, "an object", &Napi::Value::IsObject).As<Napi::Object>();
}

double number_field(const Napi::Object& object, const char* name) {
  return field(object, name, "a number", &Napi::Value::IsNumber).As<Napi::Number>().DoubleValue();
}

int64_t integer_field(const Napi::Object& object, const char* name) {
  const double value = number_field(object, name);
  if (!(std::floor(value) == value) || std::abs(value) > 9007199254740991.0)
    throw_error(object.Env(), "ERR_ARGUMENT", core::concat("Expected an integer in field \"", name, "\" but received ", value, "."));
  return static_cast<int64_t>(value);
}

bool boolean_field(const Napi::Object& object, const char* name) {
  return field(object, name, "a boolean", &Napi::Value::IsBoolean).As<Napi::Boolean>().Value();
}

std::string string_field(const Napi::Object& object, const char* name) {
  return field(object, name, "a string", &Napi::Value::IsString).As<Napi::String>().Utf8Value();
}

std::vector<std::string> strings_field(const Napi::Object& object, const char* name) {
  const auto array = field(object, name, "an array", &Napi::Value::IsArray).As<Napi::Array>();
  std::vector<std::string> result;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value value = array.Get(i);
    if (!value.IsString()) throw_error(object.Env(), "ERR_ARGUMENT", core::concat("Expected strings in field \"", name, "\"."));
    result.push_back(value.As<Napi::String>().Utf8Value());
  }
  return result;
}

std::vector<int32_t> int32s_field(const Napi::Object& object, const char* name) {
  return array_field<int32_t>(object, name, napi_int32_array, "an Int32Array");
}
std::vector<uint32_t> uint32s_field(const Napi::Object& object, const char* name) {
  return array_field<uint32_t>(object, name, napi_uint32_array, "a Uint32Array");
}
std::vector<float> floats_field(const Napi::Object& object, const char* name) {
  return array_field<float>(object, name, napi_float32_array, "a Float32Array");
}
std::vector<uint8_t> bytes_field(const Napi::Object& object, const char* name) {
  return array_field<uint8_t>(object, name, napi_uint8_array, "a Uint8Array");
}

template <>
std::vector<float> optional_field(const Napi::Object& object, const char* name) {
  return object.Get(name).IsUndefined() ? std::vector<float>() : floats_field(object, name);
}
template <>
std::vector<int32_t> optional_field(const Napi::Object& object, const char* name) {
  return object.Get(name).IsUndefined() ? std::vector<int32_t>() : int32s_field(object, name);
}

core::TokenTree tree_field(const Napi::Object& object, const char* name) {
  const Napi::Object tree = object_field(object, name);
  return {int32s_field(tree, "parent"), int32s_field(tree, "offset"), int32s_field(tree, "ids"), int32s_field(tree, "policy")};
}

namespace {

model::Rope rope_of(const Napi::Object& rope) {
  return {string_field(rope, "type"),          number_field(rope, "theta"),          number_field(rope, "factor"),
          number_field(rope, "lowFreqFactor"), number_field(rope, "highFreqFactor"), integer_field(rope, "originalMaxPositions")};
}

}  // namespace

model::Config model_config(const Napi::Object& object) {
  model::Config config;
  try {
    config.architecture = &model::find_architecture(string_field(object, "architecture"));
  } catch (const core::Error& error) {
    throw_error(object.Env(), error.code(), error.what());
  }
  config.vocab_size = integer_field(object, "vocabSize");
  config.hidden_size = integer_field(object, "hiddenSize");
  config.intermediate_size = integer_field(object, "intermediateSize");
  config.num_layers = integer_field(object, "numLayers");
  config.num_heads = integer_field(object, "numHeads");
  config.num_kv_heads = integer_field(object, "numKvHeads");
  config.head_dim = integer_field(object, "headDim");
  config.rms_norm_eps = number_field(object, "rmsNormEps");
  config.query_scalar = number_field(object, "queryScalar");
  config.ropes = {rope_of(object_field(object, "rope"))};
  if (!object.Get("slidingRope").IsNull()) config.ropes.push_back(rope_of(object_field(object, "slidingRope")));
  config.qkv_bias = boolean_field(object, "qkvBias");
  config.output_bias = boolean_field(object, "outputBias");
  config.mlp_bias = boolean_field(object, "mlpBias");
  config.tie_word_embeddings = boolean_field(object, "tieWordEmbeddings");
  for (const int32_t window : int32s_field(object, "slidingWindows")) config.sliding_windows.push_back(window);
  config.check();
  return config;
}

std::vector<model::TensorSource> tensor_sources(const Napi::Value& value) {
  std::vector<model::TensorSource> sources;
  if (!value.IsArray()) throw_error(value.Env(), "ERR_ARGUMENT", "Expected an array of tensor sources.");
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value element = array.Get(i);
    if (!element.IsObject()) throw_error(value.Env(), "ERR_ARGUMENT", "Expected tensor sources to be objects.");
    const auto object = element.As<Napi::Object>();
    const std::string dtype = string_field(object, "dtype");
    model::TensorSource source{string_field(object, "name"), string_field(object, "file"), at::kFloat, {}, integer_field(object, "begin")};
    if (dtype == "F16") source.dtype = at::kHalf;
    else if (dtype == "BF16") source.dtype = at::kBFloat16;
    else if (dtype != "F32")
      throw core::Error("ERR_MODEL_FORMAT",
                        core::concat("Expected dtype F32, F16 or BF16 for tensor \"", source.name, "\" but received ", dtype, "."));
    const auto shape = field(object, "shape", "an array", &Napi::Value::IsArray).As<Napi::Array>();
    for (uint32_t d = 0; d < shape.Length(); ++d) source.shape.push_back(shape.Get(d).ToNumber().Int64Value());
    sources.push_back(std::move(source));
  }
  return sources;
}

rollout::Sampling sampling(const Napi::Object& object) {
  rollout::Sampling result{number_field(object, "temperature"),
                           integer_field(object, "topK"),
                           number_field(object, "topP"),
                           number_field(object, "minP"),
                           number_field(object, "repetitionPenalty"),
                           int32s_field(object, "stopIds"),
                           {}};
  const auto strings = field(object, "stopStrings", "an array", &Napi::Value::IsArray).As<Napi::Array>();
  for (uint32_t i = 0; i < strings.Length(); ++i) {
    const Napi::Value value = strings.Get(i);
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
      throw_error(object.Env(), "ERR_ARGUMENT", "Expected stop strings as Uint8Arrays of UTF-8.");
    const auto bytes = value.As<Napi::Uint8Array>();
    result.stop_strings.emplace_back(reinterpret_cast<const char*>(bytes.Data()), bytes.ElementLength());
  }
  return result;
}

train::LossSettings loss_settings(const Napi::Value& value) {
  train::LossSettings settings;
  if (!value.IsObject()) return settings;
  const auto object = value.As<Napi::Object>();
  if (object.Get("clip").IsObject()) {
    const Napi::Object clip = object_field(object, "clip");
    settings.clip = true;
    settings.clip_low = number_field(clip, "low");
    settings.clip_high = number_field(clip, "high");
    core::check_argument(settings.clip_low >= 0.0 && settings.clip_high >= 0.0, "Expected clip bounds of 0 or more but received ",
                         settings.clip_low, " and ", settings.clip_high, ".");
  }
  if (object.Get("kl").IsObject()) {
    const Napi::Object kl = object_field(object, "kl");
    const std::string estimator = string_field(kl, "estimator");
    settings.kl_coefficient = number_field(kl, "coefficient");
    if (estimator == "k1") settings.kl = train::KlEstimator::kK1;
    else if (estimator == "k2") settings.kl = train::KlEstimator::kK2;
    else if (estimator == "k3") settings.kl = train::KlEstimator::kK3;
    else throw core::Error("ERR_ARGUMENT", core::concat("Expected KL estimator k1, k2 or k3 but received \"", estimator, "\"."));
  }
  if (object.Get("entropyCoefficient").IsNumber()) settings.entropy_coefficient = number_field(object, "entropyCoefficient");
  return settings;
}

train::StepOptions step_options(const Napi::Object& object) {
  return {number_field(object, "learningRate"), number_field(object, "beta1"),       number_field(object, "beta2"),
          number_field(object, "epsilon"),      number_field(object, "weightDecay"), boolean_field(object, "decayAll"),
          number_field(object, "maxGradNorm")};
}

Napi::Number to_js(Napi::Env env, int64_t value) { return Napi::Number::New(env, static_cast<double>(value)); }
Napi::Float32Array to_js(Napi::Env env, const std::vector<float>& values) { return copy_to_js<Napi::Float32Array>(env, values); }
Napi::Int32Array to_js(Napi::Env env, const std::vector<int32_t>& values) { return copy_to_js<Napi::Int32Array>(env, values); }

Napi::Value to_js(Napi::Env env, const rollout::RowResult& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("ids", to_js(env, result.ids));
  object.Set("logProbs", to_js(env, result.log_probs));
  object.Set("entropies", to_js(env, result.entropies));
  object.Set("stopped", result.stopped);
  return object;
}

Napi::Value to_js(Napi::Env env, const rollout::GenerateResult& result) {
  Napi::Array rows = Napi::Array::New(env, result.rows.size());
  for (size_t b = 0; b < result.rows.size(); ++b) rows.Set(static_cast<uint32_t>(b), to_js(env, result.rows[b]));
  Napi::Object object = Napi::Object::New(env);
  object.Set("rows", rows);
  object.Set("prefillTokens", static_cast<double>(result.prefill_tokens));
  object.Set("prefillSeconds", result.prefill_seconds);
  object.Set("decodeSeconds", result.decode_seconds);
  return object;
}

Napi::Value to_js(Napi::Env env, const train::ScoreResult& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("logProbs", to_js(env, result.log_probs));
  object.Set("entropies", to_js(env, result.entropies));
  object.Set("values", to_js(env, result.values));
  object.Set("seconds", result.seconds);
  return object;
}

Napi::Value to_js(Napi::Env env, const train::StepResult& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("gradNorm", result.grad_norm);
  object.Set("skipped", result.skipped);
  return object;
}

Napi::Value to_js(Napi::Env env, const std::vector<model::TensorInfo>& tensors) {
  Napi::Array array = Napi::Array::New(env, tensors.size());
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", tensors[i].name);
    object.Set("dtype", tensors[i].dtype == at::kBFloat16 ? "BF16" : "F32");
    Napi::Array shape = Napi::Array::New(env, tensors[i].shape.size());
    for (uint32_t d = 0; d < tensors[i].shape.size(); ++d) shape.Set(d, static_cast<double>(tensors[i].shape[d]));
    object.Set("shape", shape);
    array.Set(i, object);
  }
  return array;
}

}  // namespace magrpo::binding
