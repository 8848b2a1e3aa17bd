#include "binding/call.h"
#include "rollout/generate.h"

namespace magrpo::binding {
namespace {

// Numbers per row of `rowStream`: the fields of core::RandomStream.
constexpr size_t kStreamNumbers = 5;

std::vector<rollout::Row> rows_field(const Napi::Object& object) {
  const auto segment = array_field<int32_t>(object, "rowSegment");
  const auto limit = array_field<int32_t>(object, "rowLimit");
  const auto stream = array_field<uint32_t>(object, "rowStream");
  core::check_argument(limit.size() == segment.size() && stream.size() == segment.size() * kStreamNumbers, "Expected ", segment.size(),
                       " limits and ", segment.size() * kStreamNumbers, " stream numbers but received ", limit.size(), " and ",
                       stream.size(), ".");
  std::vector<rollout::Row> rows;
  for (size_t b = 0; b < segment.size(); ++b) {
    const uint32_t* s = &stream[b * kStreamNumbers];
    rows.push_back({segment[b], limit[b], {s[0], s[1], s[2], s[3], s[4]}});
  }
  return rows;
}

}  // namespace

Napi::Value ModelHandle::generate(const Napi::CallbackInfo& info) {
  const auto model = state();
  const auto object = object_argument(info, 0, "the request");
  auto request = std::make_shared<rollout::GenerateRequest>();
  request->tree = tree_field(object, "tree");
  PolicyList list = policy_list(object.Get("policies"), model);
  request->adapters = list.adapters;
  request->rows = rows_field(object);
  request->sampling = sampling(object_field(object, "sampling"));
  request->token_bytes = model->token_bytes;
  request->deterministic = object.Get("deterministic").ToBoolean();

  JobSpec spec;
  spec.one_thread = object.Get("oneThread").ToBoolean();
  spec.cancel = cancel_option(info, 1);
  request->on_tokens = event_option<std::vector<int32_t>, std::vector<int32_t>>(spec, object, "onTokens");
  request->on_row = event_option<int64_t, rollout::RowResult>(spec, object, "onRow");
  depend_on(spec, model, Value());
  depend_on(spec, list, Access::kRead);
  return start_sliced(info.Env(), std::move(spec), [model, request, policies = list.policies, cancel = spec.cancel] {
    return std::make_unique<rollout::Generation>(*model->decoder, std::move(*request), cancel);
  });
}

}  // namespace magrpo::binding
