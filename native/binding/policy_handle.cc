#include "binding/call.h"
#include "model/lora.h"

namespace magrpo::binding {
namespace {

model::AdapterSettings adapter_settings(const Napi::Object& object) {
  return {integer_field(object, "rank"), number_field(object, "scale"), strings_field(object, "targets"),
          static_cast<uint64_t>(integer_field(object, "seed"))};
}

train::Section section_argument(const Napi::CallbackInfo& info) {
  const std::string name = string_argument(info, 0, "the tensors' kind");
  if (name == "weights") return train::Section::kWeights;
  if (name == "optimizer") return train::Section::kOptimizer;
  if (name == "gradients") return train::Section::kGradients;
  if (name == "valueHead") return train::Section::kValueHead;
  throw core::Error("ERR_ARGUMENT", "Expected weights, optimizer, gradients or valueHead but received \"", name, "\".");
}

// A job that changes the policy; a full policy writes the model's own weights.
JobSpec writing_job(const std::shared_ptr<PolicyState>& state, const Napi::Object& self) {
  JobSpec spec;
  spec.device = state->model->device;
  spec.decoder = state->model->decoder;
  spec.writes.push_back(state->policy.get());
  (state->policy->is_full() ? spec.writes : spec.reads).push_back(&state->policy->decoder());
  spec.keep_alive.push_back(Napi::Persistent(self));
  return spec;
}

// { slots, bounds }: Int32Arrays.
train::SlotShares slot_shares(const Napi::Object& object) {
  const auto slots = array_field<int32_t>(object, "slots"), bounds = array_field<int32_t>(object, "bounds");
  core::check_argument(bounds.size() > 1, "Expected the bounds of at least one rank.");
  return {{slots.begin(), slots.end()}, {bounds.begin(), bounds.end()}};
}

// The tensors' connection of the ranks handle at `index`; null where there is none.
std::shared_ptr<RanksState> ranks_argument(const Napi::CallbackInfo& info, size_t index) {
  if (info[index].IsUndefined() || info[index].IsNull()) return nullptr;
  const auto ranks = unwrap<RanksHandle>(info[index], "the ranks of a run")->state();
  core::check_argument(ranks->collectives != nullptr, "Expected ranks that are connected.");
  return ranks;
}

}  // namespace

Napi::Value ModelHandle::create_policy(const Napi::CallbackInfo& info) {
  const auto model = state();
  const auto options = object_argument(info, 0, "the policy's settings");
  const std::string kind = string_field(options, "kind");
  core::check_argument(kind == "full" || kind == "lora", "Expected kind full or lora but received \"", kind, "\".");
  const bool full = kind == "full";
  core::check_argument(!full || !model->has_full_policy,
                       "Expected at most one full policy a model, but this one has one: load the model once for each agent.");
  const model::AdapterSettings settings = full ? model::AdapterSettings{} : adapter_settings(options);

  auto made = std::make_shared<PolicyState>(model, full);
  JobSpec spec;
  depend_on(spec, model, Value());
  spec.result = [made](Napi::Env env) { return PolicyHandle::wrap(Environment::of(env).policy_constructor, made); };
  return start(info.Env(), std::move(spec), [model, made, full, settings] {
    const auto& decoder = model->decoder;
    std::optional<model::Adapter> adapter;
    if (!full) adapter = model::make_adapter(decoder->config(), settings, decoder->device());
    made->policy = std::make_shared<train::Policy>(decoder, std::move(adapter));
  });
}

Napi::Function PolicyHandle::define(Napi::Env env) {
  return DefineClass(env, "Policy",
                     {exported<&PolicyHandle::step>("step"), exported<&PolicyHandle::zero_grad>("zeroGrad"),
                      exported<&PolicyHandle::attach_value_head>("attachValueHead"), exported<&PolicyHandle::tensors>("tensors"),
                      exported<&PolicyHandle::write_tensors>("writeTensors"), exported<&PolicyHandle::read_tensors>("readTensors"),
                      exported<&PolicyHandle::end_slot>("endSlot"), exported<&PolicyHandle::sum_slots>("sumSlots"),
                      exported<&PolicyHandle::sum_gradients>("sumGradients"), exported<&PolicyHandle::copy_from_first>("copyFromFirst"),
                      exported<&PolicyHandle::spread>("spread"), exported<&PolicyHandle::offload>("offload"),
                      exported<&PolicyHandle::optimizer_bytes>("optimizerBytes"), exported<&PolicyHandle::dispose>("dispose")});
}

void PolicyHandle::describe(Napi::Object self) const {
  self.Set("kind", state_->policy->is_full() ? "full" : "lora");
  self.Set("parameterCount", static_cast<double>(state_->policy->parameter_count()));
}

Napi::Value PolicyHandle::step(const Napi::CallbackInfo& info) {
  // Arguments first: reading them may run getters, and these may dispose the policy.
  const train::StepOptions options = step_options(object_argument(info, 0, "the step's options"));
  const core::CancelFlagPtr cancel = cancel_option(info, 1);
  const auto ranks = ranks_argument(info, 2);
  const auto current = state();
  JobSpec spec = writing_job(current, Value());
  spec.cancel = cancel;
  auto result = std::make_shared<train::StepResult>();
  spec.result = [result](Napi::Env env) { return to_js(env, *result); };
  return start(info.Env(), std::move(spec), [current, options, result, ranks] {
    *result = current->policy->step(options, ranks == nullptr ? nullptr : ranks->collectives);
  });
}

Napi::Value PolicyHandle::zero_grad(const Napi::CallbackInfo& info) {
  const auto current = state();
  return start(info.Env(), writing_job(current, Value()), [current] { current->policy->zero_gradients(); });
}

Napi::Value PolicyHandle::attach_value_head(const Napi::CallbackInfo& info) {
  const Napi::Object options = object_argument(info, 0, "the value head's settings");
  const int64_t hidden_size = integer_field(options, "hiddenSize");
  const int64_t seed = integer_field(options, "seed");
  const auto current = state();
  return start(info.Env(), writing_job(current, Value()),
               [current, hidden_size, seed] { current->policy->attach_value_head(hidden_size, static_cast<uint64_t>(seed)); });
}

Napi::Value PolicyHandle::tensors(const Napi::CallbackInfo& info) {
  return to_js(info.Env(), state()->policy->describe(section_argument(info)));
}

Napi::Value PolicyHandle::write_tensors(const Napi::CallbackInfo& info) {
  const auto current = state();
  const train::Section section = section_argument(info);
  const std::string file = string_argument(info, 1, "the file");
  const std::string header = bytes_argument(info, 2, "the header");
  const auto ranks = ranks_argument(info, 3);
  core::check_argument(ranks == nullptr || section == train::Section::kOptimizer, "Expected no ranks but for the optimizer's state.");
  // Writing, as slices() allocates the optimizer's moments at their first use.
  return start(info.Env(), writing_job(current, Value()), [current, section, file, header, ranks] {
    if (ranks == nullptr) model::write_tensors(file, header, current->policy->slices(section));
    else current->policy->write_spread(file, header, *ranks->collectives);
  });
}

Napi::Value PolicyHandle::read_tensors(const Napi::CallbackInfo& info) {
  const train::Section section = section_argument(info);
  const auto sources = tensor_sources(info[1]);
  const auto ranks = ranks_argument(info, 2);
  core::check_argument(ranks == nullptr || section == train::Section::kOptimizer, "Expected no ranks but for the optimizer's state.");
  const auto current = state();
  JobSpec spec = writing_job(current, Value());
  spec.cancel = std::make_shared<core::CancelFlag>();
  return start(info.Env(), std::move(spec), [current, section, sources, ranks, cancel = spec.cancel] {
    if (ranks == nullptr) current->policy->read(section, sources, cancel);
    else current->policy->read_spread(sources, cancel, *ranks->collectives);
  });
}

Napi::Value PolicyHandle::end_slot(const Napi::CallbackInfo& info) {
  const Napi::Object options = object_argument(info, 0, "the slot");
  const int64_t slot = integer_field(options, "slot"), rank = integer_field(options, "rank");
  const train::SlotShares shares = slot_shares(options);
  core::check_argument(rank >= 0 && rank + 1 < static_cast<int64_t>(shares.bounds.size()), "Expected a rank of the bounds.");
  const auto current = state();
  return start(info.Env(), writing_job(current, Value()),
               [current, slot, shares, rank] { current->policy->end_slot(slot, shares, static_cast<size_t>(rank)); });
}

Napi::Value PolicyHandle::sum_slots(const Napi::CallbackInfo& info) {
  const train::SlotShares shares = slot_shares(object_argument(info, 0, "the slots"));
  const auto ranks = ranks_argument(info, 1);
  const auto current = state();
  return start(info.Env(), writing_job(current, Value()),
               [current, shares, ranks] { current->policy->sum_slots(shares, ranks == nullptr ? nullptr : ranks->collectives); });
}

Napi::Value PolicyHandle::sum_gradients(const Napi::CallbackInfo& info) {
  const auto ranks = ranks_argument(info, 0);
  core::check_argument(ranks != nullptr, "Expected the ranks of a run.");
  const auto current = state();
  return start(info.Env(), writing_job(current, Value()), [current, ranks] { current->policy->sum_gradients(*ranks->collectives); });
}

Napi::Value PolicyHandle::spread(const Napi::CallbackInfo& info) {
  const auto ranks = ranks_argument(info, 0);
  core::check_argument(ranks != nullptr, "Expected the ranks of a run.");
  core::check_argument(info[1].IsBoolean(), "Expected whether the optimizer is to be spread.");
  const bool wanted = info[1].As<Napi::Boolean>().Value();
  const auto current = state();
  return start(info.Env(), writing_job(current, Value()),
               [current, ranks, wanted] { current->policy->spread(*ranks->collectives, wanted); });
}

Napi::Value PolicyHandle::offload(const Napi::CallbackInfo& info) {
  core::check_argument(info[0].IsBoolean(), "Expected whether the optimizer's state is to be in the host's memory.");
  const bool wanted = info[0].As<Napi::Boolean>().Value();
  const auto current = state();
  return start(info.Env(), writing_job(current, Value()), [current, wanted] { current->policy->offload(wanted); });
}

Napi::Value PolicyHandle::optimizer_bytes(const Napi::CallbackInfo& info) {
  const auto current = state();
  JobSpec spec = writing_job(current, Value());
  auto bytes = std::make_shared<int64_t>(0);
  spec.result = [bytes](Napi::Env env) { return to_js(env, *bytes); };
  return start(info.Env(), std::move(spec), [current, bytes] { *bytes = current->policy->optimizer_bytes(); });
}

Napi::Value PolicyHandle::copy_from_first(const Napi::CallbackInfo& info) {
  const auto ranks = ranks_argument(info, 0);
  core::check_argument(ranks != nullptr, "Expected the ranks of a run.");
  const train::MomentKind kind = moment_kind(string_argument(info, 1, "the moments' kind"));
  const auto current = state();
  return start(info.Env(), writing_job(current, Value()),
               [current, ranks, kind] { current->policy->copy_from_first(*ranks->collectives, kind); });
}

Napi::Value PolicyHandle::dispose(const Napi::CallbackInfo& info) {
  if (!state_) return start(info.Env(), {}, [] {});
  JobSpec spec = writing_job(state_, Value());
  return start(info.Env(), std::move(spec), [state = std::exchange(state_, nullptr)] { state->release(); });
}

}  // namespace magrpo::binding
