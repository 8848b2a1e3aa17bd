#include "binding/call.h"
#include "train/pass.h"

namespace magrpo::binding {

Napi::Value ModelHandle::log_probs(const Napi::CallbackInfo& info) { return score(info, false); }

Napi::Value ModelHandle::accumulate(const Napi::CallbackInfo& info) { return score(info, true); }

Napi::Value ModelHandle::score(const Napi::CallbackInfo& info, bool with_gradient) {
  const Napi::Env env = info.Env();
  const auto model = state(env);
  const auto object = object_argument(info, 0, "the request");
  auto request = std::make_shared<train::PassRequest>();
  request->tree = tree_field(object, "tree");
  PolicyList list = policy_list(env, object.Get("policies"), model);
  request->policies = list.policies;
  request->scored = bytes_field(object, "scored");
  if (object.Has("temperature")) request->temperature = number_field(object, "temperature");
  if (object.Has("repetitionPenalty")) request->repetition_penalty = number_field(object, "repetitionPenalty");
  if (object.Has("kept")) request->kept = bytes_field(object, "kept");
  request->value_tokens = optional_field<int32_t>(object, "valueTokens");
  if (with_gradient) {
    request->weights = floats_field(object, "weights");
    request->loss = guarded(env, [&] { return loss_settings(object.Get("loss")); });
    request->old_log_probs = optional_field<float>(object, "oldLogProbs");
    request->reference_log_probs = optional_field<float>(object, "referenceLogProbs");
    request->penalties = optional_field<float>(object, "penalties");
    request->value_targets = optional_field<float>(object, "valueTargets");
    request->value_weights = optional_field<float>(object, "valueWeights");
  }
  request->max_tokens_per_micro_batch = integer_field(object, "maxTokensPerMicroBatch");
  request->checkpoint_activations = object.Get("activationCheckpointing").ToBoolean();

  JobSpec spec;
  spec.one_thread = object.Get("oneThread").ToBoolean();
  spec.cancel = cancel_option(info, 1);
  depend_on(spec, model, Value());
  depend_on(spec, list, with_gradient ? Access::kWrite : Access::kRead);
  return start_sliced(env, std::move(spec), [model, request, cancel = spec.cancel] {
    return std::make_unique<train::Pass>(*model->decoder, std::move(*request), cancel);
  });
}

}  // namespace magrpo::binding
