#include "binding/conversions.h"

#include <cmath>

namespace magrpo::binding {
namespace {

Napi::Value field(const Napi::Object& object, const char* name, const char* expected, bool (Napi::Value::*is)() const) {
  const Napi::Value value = object.Get(name);
  core::check_argument((value.*is)(), "Expected ", expected, " in field \"", name, "\".");
  return value;
}

model::Rope rope_of(const Napi::Object& rope) {
  return {string_field(rope, "type"),          number_field(rope, "theta"),          number_field(rope, "factor"),
          number_field(rope, "lowFreqFactor"), number_field(rope, "highFreqFactor"), integer_field(rope, "originalMaxPositions")};
}

std::string text_of(const Napi::Uint8Array& bytes) { return {reinterpret_cast<const char*>(bytes.Data()), bytes.ElementLength()}; }

}  // namespace

Napi::Object object_argument(const Napi::CallbackInfo& info, size_t index, const char* what) {
  core::check_argument(info[index].IsObject(), "Expected an object for ", what, ".");
  return info[index].As<Napi::Object>();
}

std::string string_argument(const Napi::CallbackInfo& info, size_t index, const char* what) {
  core::check_argument(info[index].IsString(), "Expected a string for ", what, ".");
  return info[index].As<Napi::String>().Utf8Value();
}

std::string bytes_argument(const Napi::CallbackInfo& info, size_t index, const char* what) {
  core::check_argument(is_array<uint8_t>(info[index]), "Expected a Uint8Array for ", what, ".");
  return text_of(info[index].As<Napi::Uint8Array>());
}

Napi::Object object_field(const Napi::Object& object, const char* name) {
  return field(object, name, "an object", &Napi::Value::IsObject).As<Napi::Object>();
}

double number_field(const Napi::Object& object, const char* name) {
  return field(object, name, "a number", &Napi::Value::IsNumber).As<Napi::Number>().DoubleValue();
}

int64_t integer_field(const Napi::Object& object, const char* name) {
  const double value = number_field(object, name);
  core::check_argument(std::floor(value) == value && std::abs(value) <= 9007199254740991.0, "Expected an integer in field \"", name,
                       "\" but received ", value, ".");
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
    core::check_argument(value.IsString(), "Expected strings in field \"", name, "\".");
    result.push_back(value.As<Napi::String>().Utf8Value());
  }
  return result;
}

core::TokenTree tree_field(const Napi::Object& object, const char* name) {
  const Napi::Object tree = object_field(object, name);
  return {array_field<int32_t>(tree, "parent"), array_field<int32_t>(tree, "offset"), array_field<int32_t>(tree, "ids"),
          array_field<int32_t>(tree, "policy")};
}

model::Config model_config(const Napi::Object& object) {
  model::Config config;
  config.architecture = &model::find_architecture(string_field(object, "architecture"));
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
  for (const int32_t window : array_field<int32_t>(object, "slidingWindows")) config.sliding_windows.push_back(window);
  config.check();
  return config;
}

std::vector<model::TensorSource> tensor_sources(const Napi::Value& value) {
  std::vector<model::TensorSource> sources;
  core::check_argument(value.IsArray(), "Expected an array of tensor sources.");
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value element = array.Get(i);
    core::check_argument(element.IsObject(), "Expected tensor sources to be objects.");
    const auto object = element.As<Napi::Object>();
    const std::string dtype = string_field(object, "dtype");
    model::TensorSource source{string_field(object, "name"), string_field(object, "file"), at::kFloat, {}, integer_field(object, "begin")};
    if (dtype == "F16") source.dtype = at::kHalf;
    else if (dtype == "BF16") source.dtype = at::kBFloat16;
    else if (dtype == "U8") source.dtype = at::kByte;
    else
      core::check(dtype == "F32", "ERR_MODEL_FORMAT", "Expected dtype F32, F16, BF16 or U8 for tensor \"", source.name, "\" but received ",
                  dtype, ".");
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
                           array_field<int32_t>(object, "stopIds"),
                           {}};
  const auto strings = field(object, "stopStrings", "an array", &Napi::Value::IsArray).As<Napi::Array>();
  for (uint32_t i = 0; i < strings.Length(); ++i) {
    const Napi::Value value = strings.Get(i);
    core::check_argument(is_array<uint8_t>(value), "Expected stop strings as Uint8Arrays of UTF-8.");
    result.stop_strings.push_back(text_of(value.As<Napi::Uint8Array>()));
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
    else throw core::Error("ERR_ARGUMENT", "Expected KL estimator k1, k2 or k3 but received \"", estimator, "\".");
  }
  if (object.Get("entropyCoefficient").IsNumber()) settings.entropy_coefficient = number_field(object, "entropyCoefficient");
  return settings;
}

train::MomentKind moment_kind(const std::string& name) {
  core::check_argument(name == "float32" || name == "bfloat16" || name == "int8",
                       "Expected moments float32, bfloat16 or int8 but received \"", name, "\".");
  if (name == "int8") return train::MomentKind::kInt8;
  return name == "bfloat16" ? train::MomentKind::kBFloat16 : train::MomentKind::kFloat32;
}

train::StepOptions step_options(const Napi::Object& object) {
  const train::MomentKind kind = moment_kind(string_field(object, "moments"));
  return {number_field(object, "learningRate"), number_field(object, "beta1"),
          number_field(object, "beta2"),        number_field(object, "epsilon"),
          number_field(object, "weightDecay"),  boolean_field(object, "decayAll"),
          number_field(object, "maxGradNorm"),  kind};
}

Napi::Value to_js(Napi::Env env, const rollout::RowResult& result) {
  Napi::Object object =
      to_object(env, "ids", result.ids, "logProbs", result.log_probs, "entropies", result.entropies, "stopped", result.stopped);
  if (!result.model_log_probs.empty()) {
    object.Set("modelLogProbs", to_js(env, result.model_log_probs));
    object.Set("modelEntropies", to_js(env, result.model_entropies));
  }
  if (!result.kept.empty()) object.Set("kept", to_js(env, result.kept));
  return object;
}

Napi::Value to_js(Napi::Env env, const rollout::GenerateResult& result) {
  return to_object(env, "rows", result.rows, "prefillTokens", result.prefill_tokens, "prefillSeconds", result.prefill_seconds,
                   "decodeSeconds", result.decode_seconds);
}

Napi::Value to_js(Napi::Env env, const train::ScoreResult& result) {
  return to_object(env, "logProbs", result.log_probs, "entropies", result.entropies, "values", result.values, "seconds", result.seconds);
}

Napi::Value to_js(Napi::Env env, const train::StepResult& result) {
  return to_object(env, "gradNorm", result.grad_norm, "skipped", result.skipped);
}

Napi::Value to_js(Napi::Env env, const model::TensorInfo& tensor) {
  return to_object(env, "name", tensor.name, "dtype",
                   tensor.dtype == at::kBFloat16 ? "BF16"
                   : tensor.dtype == at::kByte   ? "U8"
                                                 : "F32",
                   "shape", tensor.shape);
}

}  // namespace magrpo::binding
