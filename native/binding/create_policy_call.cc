#include "binding/call.h"
#include "model/lora.h"

namespace magrpo::binding {
namespace {

struct AdapterSettings {
  int64_t rank = 0;
  double scale = 0.0;
  std::vector<std::string> targets;
  int64_t seed = 0;
};

AdapterSettings adapter_settings(const Napi::Object& object) {
  AdapterSettings settings;
  settings.rank = integer_field(object, "rank");
  settings.scale = number_field(object, "scale");
  settings.targets = strings_field(object, "targets");
  settings.seed = integer_field(object, "seed");
  return settings;
}

std::shared_ptr<train::Policy> make_policy(const std::shared_ptr<model::Decoder>& decoder, bool full, const AdapterSettings& settings) {
  if (full) return std::make_shared<train::Policy>(decoder);
  return std::make_shared<train::Policy>(decoder, model::make_adapter(decoder->config(), settings.rank, settings.scale, settings.targets,
                                                                      static_cast<uint64_t>(settings.seed), decoder->device()));
}

}  // namespace

Napi::Value ModelHandle::create_policy(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto model = state(env);
  const auto options = object_argument(info, 0, "the policy's settings");
  const std::string kind = string_field(options, "kind");
  if (kind != "full" && kind != "lora")
    throw_error(env, "ERR_ARGUMENT", core::concat("Expected kind full or lora but received \"", kind, "\"."));
  const bool full = kind == "full";
  if (full && model->has_full_policy)
    throw_error(env, "ERR_ARGUMENT", "Expected at most one full policy a model, but this one has one: load the model once for each agent.");
  const AdapterSettings settings = full ? AdapterSettings{} : adapter_settings(options);

  auto made = std::make_shared<PolicyState>(model, full);
  JobSpec spec;
  depend_on(spec, model, Value());
  spec.result = [made](Napi::Env env) -> Napi::Value {
    const Napi::Object object = Environment::of(env).policy_constructor.New({});
    PolicyHandle::Unwrap(object)->adopt(made);
    return object;
  };
  return start(env, std::move(spec),
               [model, made, full, settings] { made->policy = make_policy(model->decoder, full, settings); });
}

}  // namespace magrpo::binding
