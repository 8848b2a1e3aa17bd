#include <ATen/core/grad_mode.h>

#include "binding/call.h"
#include "model/packed_batch.h"
#include "train/pass.h"

namespace magrpo::binding {

Napi::Value ModelHandle::log_probs(const Napi::CallbackInfo& info) { return score(info, false); }

Napi::Value ModelHandle::accumulate(const Napi::CallbackInfo& info) { return score(info, true); }

Napi::Value ModelHandle::score(const Napi::CallbackInfo& info, bool with_gradient) {
  const auto model = state();
  const auto object = object_argument(info, 0, "the request");
  auto request = std::make_shared<train::PassRequest>();
  request->tree = tree_field(object, "tree");
  PolicyList list = policy_list(object.Get("policies"), model);
  request->policies = list.policies;
  request->scored = array_field<uint8_t>(object, "scored");
  if (object.Has("temperature")) request->temperature = number_field(object, "temperature");
  if (object.Has("repetitionPenalty")) request->repetition_penalty = number_field(object, "repetitionPenalty");
  request->kept = optional_field<uint8_t>(object, "kept");
  request->value_tokens = optional_field<int32_t>(object, "valueTokens");
  if (with_gradient) {
    request->weights = array_field<float>(object, "weights");
    request->loss = loss_settings(object.Get("loss"));
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
  return start_sliced(info.Env(), std::move(spec), [model, request, cancel = spec.cancel] {
    return std::make_unique<train::Pass>(*model->decoder, std::move(*request), cancel);
  });
}

Napi::Value ModelHandle::logits(const Napi::CallbackInfo& info) {
  const auto model = state();
  const core::TokenTree tree = tree_field(to_object(info.Env(), "tree", info[0]), "tree");
  const auto rows = numbers<int32_t>(info[2], " in field \"rows\"");
  PolicyList list = policy_list(info[1], model);
  tree.check(model->decoder->config().vocab_size, static_cast<int64_t>(list.adapters.size()));
  for (const int32_t row : rows)
    core::check_argument(row >= 0 && row < tree.segments() && tree.length(row) > 0, "Expected a non-empty segment but received ", row, ".");

  JobSpec spec;
  depend_on(spec, model, Value());
  depend_on(spec, list, Access::kRead);
  auto values = std::make_shared<std::vector<float>>();
  spec.result = [values](Napi::Env env) { return to_js(env, *values); };
  return start(info.Env(), std::move(spec), [model, tree, rows, values, policies = list.policies, adapters = list.adapters] {
    at::NoGradGuard no_grad;
    const auto segments = model::segments_by_root(tree);
    std::vector<int64_t> row_of_token(static_cast<size_t>(tree.tokens()));
    const auto batch = model::pack_roots(tree, segments, 0, static_cast<int64_t>(segments.size()), model::KeyPlace::kPass, row_of_token);
    const at::Tensor hidden = model->decoder->forward(batch, adapters, nullptr);
    for (const int32_t row : rows) {
      const at::Tensor logits = model->decoder->logits(hidden.narrow(0, row_of_token[tree.offset[row + 1] - 1], 1)).cpu().contiguous();
      values->insert(values->end(), logits.const_data_ptr<float>(), logits.const_data_ptr<float>() + logits.numel());
    }
  });
}

}  // namespace magrpo::binding
