#include <ATen/core/grad_mode.h>

#include "binding/call.h"
#include "core/device.h"
#include "model/packed_batch.h"

namespace magrpo::binding {

Napi::Value ModelHandle::logits(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto model = state(env);
  const auto wrapper = Napi::Object::New(env);
  wrapper.Set("tree", info[0]);
  wrapper.Set("rows", info[2]);
  const core::TokenTree tree = tree_field(wrapper, "tree");
  const auto rows = int32s_field(wrapper, "rows");
  PolicyList list = policy_list(env, info[1], model);
  guarded(env, [&] {
    tree.check(model->decoder->config().vocab_size, static_cast<int64_t>(list.adapters.size()));
    for (const int32_t row : rows)
      core::check_argument(row >= 0 && row < tree.segments() && tree.length(row) > 0, "Expected a non-empty segment but received ", row, ".");
    return 0;
  });

  JobSpec spec;
  depend_on(spec, model, Value());
  depend_on(spec, list, Access::kRead);
  auto values = std::make_shared<std::vector<float>>();
  spec.result = [values](Napi::Env env) -> Napi::Value { return to_js(env, *values); };
  return start(env, std::move(spec), [model, tree, rows, values, policies = list.policies, adapters = list.adapters] {
    at::NoGradGuard no_grad;
    const core::DeviceScope scope = model->decoder->on_device();
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
