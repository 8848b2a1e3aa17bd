#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "binding/conversions.h"
#include "binding/handles.h"
#include "core/device.h"
#include "core/errors.h"
#include "train/pass.h"

namespace magrpo::binding {
namespace {

struct PolicyList {
  std::vector<std::shared_ptr<train::Policy>> policies;
  std::vector<const model::Adapter*> adapters;
  std::vector<Napi::ObjectReference> keep_alive;
};

// The policies of a call; each must belong to `model`.
PolicyList policy_list(Napi::Env env, const Napi::Value& value, const std::shared_ptr<ModelState>& model) {
  PolicyList list;
  if (!value.IsArray()) throw_error(env, "ERR_ARGUMENT", "Expected an array of policies.");
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value element = array.Get(i);
    const auto state = unwrap<PolicyHandle>(element, "policies of this model")->state(env);
    if (state->model != model) throw_error(env, "ERR_ARGUMENT", core::concat("Expected policy ", i, " to belong to this model."));
    list.policies.push_back(state->policy);
    list.adapters.push_back(state->policy->adapter());
    list.keep_alive.push_back(Napi::Persistent(element.As<Napi::Object>()));
  }
  return list;
}

void depend_on(JobSpec& spec, const std::shared_ptr<ModelState>& model) {
  spec.device = model->device;
  spec.reads.push_back(model->decoder.get());
}

}  // namespace

Napi::Function ModelHandle::define(Napi::Env env) {
  return DefineClass(env, "Model",
                     {InstanceMethod<&ModelHandle::create_policy>("createPolicy"),
                      InstanceMethod<&ModelHandle::set_token_bytes>("setTokenBytes"),
                      InstanceMethod<&ModelHandle::generate>("generate"),
                      InstanceMethod<&ModelHandle::log_probs>("logProbs"),
                      InstanceMethod<&ModelHandle::accumulate>("accumulate"),
                      InstanceMethod<&ModelHandle::logits>("logits"),
                      InstanceMethod<&ModelHandle::tensors>("tensors"),
                      InstanceMethod<&ModelHandle::write_tensors>("writeTensors"),
                      InstanceMethod<&ModelHandle::dispose>("dispose")});
}

ModelHandle::ModelHandle(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

void ModelHandle::adopt(std::shared_ptr<ModelState> state) {
  state_ = std::move(state);
  Napi::Object self = Value();
  self.Set("parameterCount", static_cast<double>(state_->parameter_count));
  self.Set("weightBytes", static_cast<double>(state_->weight_bytes));
}

void ModelHandle::Finalize(Napi::Env env) {
  if (state_) Napi::MemoryManagement::AdjustExternalMemory(env, -state_->weight_bytes);
}

std::shared_ptr<ModelState> ModelHandle::state(Napi::Env env) const {
  if (!state_) throw_error(env, "ERR_DISPOSED", "The model was used after it was disposed.");
  return state_;
}

Napi::Value ModelHandle::create_policy(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto model = state(env);
  const auto options = object_argument(info, 0, "the policy's settings");
  const std::string kind = string_field(options, "kind");
  if (kind != "full" && kind != "lora") throw_error(env, "ERR_ARGUMENT", core::concat("Expected kind full or lora but received \"", kind, "\"."));
  const bool full = kind == "full";
  if (full && model->has_full_policy)
    throw_error(env, "ERR_ARGUMENT", "Expected at most one full policy a model, but this one has one: load the model once for each agent.");
  int64_t rank = 0, seed = 0;
  double scale = 0.0;
  std::vector<std::string> targets;
  if (!full) {
    rank = integer_field(options, "rank");
    scale = number_field(options, "scale");
    targets = strings_field(options, "targets");
    seed = integer_field(options, "seed");
  }
  auto made = std::make_shared<PolicyState>(model, full);
  JobSpec spec;
  depend_on(spec, model);
  spec.keep_alive.push_back(Napi::Persistent(Value()));
  spec.advance = [model, made, full, rank, scale, targets, seed] {
    made->policy = full ? std::make_shared<train::Policy>(model->decoder)
                        : std::make_shared<train::Policy>(
                              model->decoder, model::make_adapter(model->decoder->config(), rank, scale, targets,
                                                                  static_cast<uint64_t>(seed), model->decoder->device()));
    return true;
  };
  spec.result = [made](Napi::Env env) -> Napi::Value {
    const Napi::Object object = Environment::of(env).policy_constructor.New({});
    PolicyHandle::Unwrap(object)->adopt(made);
    return object;
  };
  return Environment::of(env).start(env, std::move(spec));
}

Napi::Value ModelHandle::set_token_bytes(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto model = state(env);
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_int32_array)
    throw_error(env, "ERR_ARGUMENT", "Expected an Int32Array for the tokens' offsets.");
  const auto offset = info[0].As<Napi::Int32Array>();
  auto table = std::make_shared<rollout::TokenBytes>();
  table->offset.assign(offset.Data(), offset.Data() + offset.ElementLength());
  table->bytes = bytes_argument(info, 1, "the tokens' bytes");
  const bool rising = !table->offset.empty() && table->offset.front() == 0 &&
                      std::is_sorted(table->offset.begin(), table->offset.end()) &&
                      table->offset.back() == static_cast<int64_t>(table->bytes.size());
  if (!rising) throw_error(env, "ERR_ARGUMENT", "Expected rising offsets from 0 to the number of bytes.");
  model->token_bytes = std::move(table);
  return env.Undefined();
}

Napi::Value ModelHandle::generate(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto model = state(env);
  const auto object = object_argument(info, 0, "the request");
  auto request = std::make_shared<rollout::GenerateRequest>();
  request->tree = tree_field(object, "tree");
  PolicyList list = policy_list(env, object.Get("policies"), model);
  request->adapters = list.adapters;
  const auto segment = int32s_field(object, "rowSegment");
  const auto limit = int32s_field(object, "rowLimit");
  const auto stream = uint32s_field(object, "rowStream");
  if (limit.size() != segment.size() || stream.size() != segment.size() * 5)
    throw_error(env, "ERR_ARGUMENT", core::concat("Expected ", segment.size(), " limits and ", segment.size() * 5, " stream numbers but received ",
                                            limit.size(), " and ", stream.size(), "."));
  for (size_t b = 0; b < segment.size(); ++b) {
    const uint32_t* s = &stream[b * 5];
    request->rows.push_back({segment[b], limit[b], {s[0], s[1], s[2], s[3], s[4]}});
  }
  request->sampling = guarded(env, [&] { return sampling(object_field(object, "sampling")); });
  request->token_bytes = model->token_bytes;
  request->deterministic = object.Get("deterministic").ToBoolean();

  JobSpec spec;
  spec.one_thread = object.Get("oneThread").ToBoolean();
  spec.cancel = cancel_option(info, 1);
  if (object.Get("onTokens").IsFunction()) {
    // The event holds the callback weakly: it must be released on JavaScript's thread, with the job.
    const std::weak_ptr<Napi::FunctionReference> callback = spec.add_callback(object.Get("onTokens").As<Napi::Function>());
    auto* environment = &Environment::of(env);
    request->on_tokens = [environment, callback](const std::vector<int32_t>& rows, const std::vector<int32_t>& ids) {
      environment->post([callback, rows, ids](Napi::Env env) {
        if (const auto function = callback.lock()) function->Call({to_js(env, rows), to_js(env, ids)});
      });
    };
  }
  if (object.Get("onRow").IsFunction()) {
    const std::weak_ptr<Napi::FunctionReference> callback = spec.add_callback(object.Get("onRow").As<Napi::Function>());
    auto* environment = &Environment::of(env);
    request->on_row = [environment, callback](int32_t row, const rollout::RowResult& result) {
      environment->post([callback, row, result](Napi::Env env) {
        if (const auto function = callback.lock()) function->Call({Napi::Number::New(env, row), to_js(env, result)});
      });
    };
  }
  depend_on(spec, model);
  for (const auto& policy : list.policies) spec.reads.push_back(policy.get());
  spec.keep_alive = std::move(list.keep_alive);
  spec.keep_alive.push_back(Napi::Persistent(Value()));
  struct State {
    std::unique_ptr<rollout::Generation> generation;
    rollout::GenerateResult result;
  };
  auto run = std::make_shared<State>();
  auto policies = list.policies;
  const core::CancelFlagPtr cancel = spec.cancel;
  spec.advance = [model, request, run, policies, cancel] {
    if (!run->generation) run->generation = std::make_unique<rollout::Generation>(*model->decoder, std::move(*request), cancel);
    if (!run->generation->advance()) return false;
    run->result = run->generation->take_result();
    run->generation.reset();  // the cache is freed here, not when JavaScript gets round to it
    return true;
  };
  spec.result = [run](Napi::Env env) { return to_js(env, run->result); };
  return Environment::of(env).start(env, std::move(spec));
}

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
  depend_on(spec, model);
  for (const auto& policy : list.policies) (with_gradient ? spec.writes : spec.reads).push_back(policy.get());
  spec.keep_alive = std::move(list.keep_alive);
  spec.keep_alive.push_back(Napi::Persistent(Value()));
  struct State {
    std::unique_ptr<train::Pass> pass;
    train::ScoreResult result;
  };
  auto run = std::make_shared<State>();
  const core::CancelFlagPtr cancel = spec.cancel;
  spec.advance = [model, request, run, cancel] {
    if (!run->pass) run->pass = std::make_unique<train::Pass>(*model->decoder, std::move(*request), cancel);
    if (!run->pass->advance()) return false;
    run->result = run->pass->take_result();
    run->pass.reset();
    return true;
  };
  spec.result = [run](Napi::Env env) { return to_js(env, run->result); };
  return Environment::of(env).start(env, std::move(spec));
}

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
  depend_on(spec, model);
  for (const auto& policy : list.policies) spec.reads.push_back(policy.get());
  spec.keep_alive = std::move(list.keep_alive);
  spec.keep_alive.push_back(Napi::Persistent(Value()));
  auto values = std::make_shared<std::vector<float>>();
  spec.advance = [model, tree, rows, values, policies = list.policies, adapters = list.adapters] {
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
    return true;
  };
  spec.result = [values](Napi::Env env) -> Napi::Value { return to_js(env, *values); };
  return Environment::of(env).start(env, std::move(spec));
}

Napi::Value ModelHandle::tensors(const Napi::CallbackInfo& info) { return to_js(info.Env(), state(info.Env())->tensors); }

Napi::Value ModelHandle::write_tensors(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto model = state(env);
  const std::string file = string_argument(info, 0, "the file");
  const std::string header = bytes_argument(info, 1, "the header");
  JobSpec spec;
  depend_on(spec, model);
  spec.keep_alive.push_back(Napi::Persistent(Value()));
  spec.advance = [model, file, header] {
    model::write_tensors(file, header, model::named_slices(model->decoder->config(), model->decoder->weights()));
    return true;
  };
  return Environment::of(env).start(env, std::move(spec));
}

Napi::Value ModelHandle::dispose(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  JobSpec spec;
  if (state_) {
    // Runs after every job that reads the model. Whoever still holds the decoder (a policy, a call whose getters got here) keeps
    // it alive; it goes with the last of them.
    spec.device = state_->device;
    spec.writes.push_back(state_->decoder.get());
    spec.advance = [state = state_]() mutable {
      state.reset();
      core::release_cached_blocks();
      return true;
    };
    Napi::MemoryManagement::AdjustExternalMemory(env, -state_->weight_bytes);
    state_.reset();
  } else {
    spec.advance = [] { return true; };
  }
  return Environment::of(env).start(env, std::move(spec));
}

Napi::Value load_model(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto object = object_argument(info, 0, "the model");
  const std::string dtype = string_field(object, "dtype");
  if (dtype != "float32" && dtype != "bfloat16")
    throw_error(env, "ERR_ARGUMENT", core::concat("Expected dtype float32 or bfloat16 but received \"", dtype, "\"."));
  const std::string device = string_field(object, "device");
  const bool is_cuda = guarded(env, [&] { return core::resolve_device(device); }).is_cuda();
  const model::Config config = guarded(env, [&] { return model_config(object_field(object, "config")); });
  if (is_cuda && config.head_dim > kernels::kMaxHeadDimCuda)
    throw_error(env, "ERR_MODEL_UNSUPPORTED", core::concat("Expected heads of up to ", kernels::kMaxHeadDimCuda, " numbers on a GPU but head_dim is ",
                                                     config.head_dim, ". Use device \"cpu\"."));
  auto sources = std::make_shared<std::vector<model::TensorSource>>(
      guarded(env, [&] { return tensor_sources(object.Get("tensors")); }));

  JobSpec spec;
  spec.device = device;
  spec.cancel = cancel_option(info, 1);
  std::function<void(int64_t, int64_t)> progress;
  if (info[1].IsObject() && info[1].As<Napi::Object>().Get("onProgress").IsFunction()) {
    const std::weak_ptr<Napi::FunctionReference> callback =
        spec.add_callback(info[1].As<Napi::Object>().Get("onProgress").As<Napi::Function>());
    auto* environment = &Environment::of(env);
    progress = [environment, callback](int64_t done, int64_t total) {
      environment->post([callback, done, total](Napi::Env env) {
        if (const auto function = callback.lock())
          function->Call({Napi::Number::New(env, static_cast<double>(done)), Napi::Number::New(env, static_cast<double>(total))});
      });
    };
  }
  auto made = std::make_shared<ModelState>();
  made->device = device;
  const core::CancelFlagPtr cancel = spec.cancel;
  spec.advance = [made, config, sources, dtype, device, cancel, progress] {
    const auto options = at::TensorOptions().dtype(dtype == "float32" ? at::kFloat : at::kBFloat16).device(core::resolve_device(device));
    // Before memory is taken: a wrong number in config.json may ask for more than there is.
    model::check_shapes(model::named_slices(config, model::allocate_weights(config, options.device(at::kMeta))), *sources);
    model::Weights weights = model::allocate_weights(config, options);
    model::read_tensors(model::named_slices(config, weights), *sources, cancel, progress);
    made->parameter_count = weights.parameter_count();
    made->weight_bytes = made->parameter_count * static_cast<int64_t>(weights.embedding.element_size());
    for (const auto& slice : model::named_slices(config, weights))
      made->tensors.push_back({slice.name, slice.tensor.scalar_type(), slice.view().sizes().vec()});
    made->decoder = std::make_shared<model::Decoder>(config, std::move(weights));
    core::release_cached_blocks();  // what was read into
    return true;
  };
  spec.result = [made](Napi::Env env) -> Napi::Value {
    const Napi::Object handle = Environment::of(env).model_constructor.New({});
    ModelHandle::Unwrap(handle)->adopt(made);
    Napi::MemoryManagement::AdjustExternalMemory(env, made->weight_bytes);
    return handle;
  };
  return Environment::of(env).start(env, std::move(spec));
}

}  // namespace magrpo::binding
