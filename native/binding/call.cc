#include "binding/call.h"

#include <iterator>

namespace magrpo::binding {

PolicyList policy_list(const Napi::Value& value, const std::shared_ptr<ModelState>& model) {
  PolicyList list;
  core::check_argument(value.IsArray(), "Expected an array of policies.");
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value element = array.Get(i);
    const auto state = unwrap<PolicyHandle>(element, "policies of this model")->state();
    core::check_argument(state->model == model, "Expected policy ", i, " to belong to this model.");
    list.policies.push_back(state->policy);
    list.adapters.push_back(state->policy->adapter());
    list.handles.push_back(Napi::Persistent(element.As<Napi::Object>()));
  }
  return list;
}

void depend_on(JobSpec& spec, const std::shared_ptr<ModelState>& model, const Napi::Object& handle) {
  spec.device = model->device;
  spec.decoder = model->decoder;
  spec.reads.push_back(model->decoder.get());
  spec.keep_alive.push_back(Napi::Persistent(handle));
}

void depend_on(JobSpec& spec, PolicyList& list, Access access) {
  for (const auto& policy : list.policies) (access == Access::kWrite ? spec.writes : spec.reads).push_back(policy.get());
  std::move(list.handles.begin(), list.handles.end(), std::back_inserter(spec.keep_alive));
}

}  // namespace magrpo::binding
