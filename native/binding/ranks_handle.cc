#include "binding/call.h"

namespace magrpo::binding {
namespace {

// Jobs that wait for other processes must not hold up a device.
constexpr const char* kExecutor = "ranks";

distributed::Bytes to_bytes(const std::string& text) { return {text.begin(), text.end()}; }

distributed::Place place_of(const Napi::Object& object) {
  distributed::Place place;
  place.rank = static_cast<int>(integer_field(object, "rank"));
  place.size = static_cast<int>(integer_field(object, "size"));
  place.address = string_field(object, "address");
  place.port = static_cast<int>(integer_field(object, "port"));
  place.hosts_store = boolean_field(object, "hostsStore");
  place.prefix = string_field(object, "prefix");
  place.timeout = std::chrono::milliseconds(integer_field(object, "timeoutMs"));
  place.silence = std::chrono::milliseconds(integer_field(object, "silenceMs"));
  core::check_argument(place.size > 0 && place.rank >= 0 && place.rank < place.size, "Expected a rank below ", place.size, " but received ",
                       place.rank, ".");
  core::check_argument(place.port > 0 && place.port < 65536, "Expected a port from 1 to 65535 but received ", place.port, ".");
  return place;
}

// Int32Array of ranks.
std::vector<int> members_argument(const Napi::CallbackInfo& info, size_t index) {
  const auto ranks = numbers<int32_t>(info[index], " for the ranks");
  core::check_argument(!ranks.empty(), "Expected at least one rank.");
  return {ranks.begin(), ranks.end()};
}

using CallbackReference = std::shared_ptr<Napi::FunctionReference>;

CallbackReference callback_field(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  core::check_argument(value.IsFunction(), "Expected a function in field \"", name, "\".");
  // It is released with its last event, on JavaScript's thread, or left to the end of the environment.
  auto* reference = new Napi::FunctionReference(Napi::Persistent(value.As<Napi::Function>()));
  reference->SuppressDestruct();
  return CallbackReference(reference);
}

// Settles on JavaScript's thread with what all ranks said.
distributed::Switchboard::Gathered settling(Napi::Env env, const Napi::Promise::Deferred& deferred) {
  const auto way_back = Environment::of(env).way_back();
  return [way_back, deferred](std::vector<distributed::Bytes> values, const std::string& error) {
    way_back->post([deferred, values = std::move(values), error](Napi::Env env) {
      if (error.empty()) {
        deferred.Resolve(to_js(env, values));
        return;
      }
      const Napi::Error thrown = Napi::Error::New(env, error);
      thrown.Value().Set("code", "ERR_RANK");
      deferred.Reject(thrown.Value());
    });
  };
}

}  // namespace

Napi::Value open_ranks(const Napi::CallbackInfo& info) {
  const distributed::Place place = place_of(object_argument(info, 0, "the place"));
  const Napi::Object callbacks = object_argument(info, 1, "the callbacks");
  const CallbackReference on_message = callback_field(callbacks, "onMessage"), on_lost = callback_field(callbacks, "onLost");
  const auto way_back = Environment::of(info.Env()).way_back();
  distributed::Listener listener;
  listener.on_message = [way_back, on_message](int from, distributed::Bytes message) {
    way_back->post(
        [on_message, from, message = std::move(message)](Napi::Env env) { on_message->Call({to_js(env, from), to_js(env, message)}); });
  };
  listener.on_lost = [way_back, on_lost](int rank, const std::string& why) {
    way_back->post([on_lost, rank, why](Napi::Env env) { on_lost->Call({to_js(env, rank), to_js(env, why)}); });
  };
  auto state = std::make_shared<RanksState>();
  state->switchboard = std::make_unique<distributed::Switchboard>(place, std::move(listener));
  return RanksHandle::wrap(Environment::of(info.Env()).ranks_constructor, state);
}

Napi::Function RanksHandle::define(Napi::Env env) {
  return DefineClass(
      env, "Ranks",
      {exported<&RanksHandle::join>("join"), exported<&RanksHandle::connect>("connect"), exported<&RanksHandle::gather>("gather"),
       exported<&RanksHandle::tell>("tell"), exported<&RanksHandle::traffic>("traffic"), exported<&RanksHandle::dispose>("dispose")});
}

Napi::Value RanksHandle::join(const Napi::CallbackInfo& info) {
  const std::string value = bytes_argument(info, 0, "the value");
  const auto deferred = Napi::Promise::Deferred::New(info.Env());
  state()->switchboard->join(to_bytes(value), settling(info.Env(), deferred));
  return deferred.Promise();
}

Napi::Value RanksHandle::connect(const Napi::CallbackInfo& info) {
  const std::vector<int> members = members_argument(info, 0);
  const auto current = state();
  JobSpec spec;
  spec.device = kExecutor;
  return start(info.Env(), std::move(spec), [current, members] {
    auto& group = current->groups[members];
    if (!group) group = std::make_unique<distributed::Collectives>(*current->switchboard, members);
    current->collectives = group.get();
  });
}

Napi::Value RanksHandle::gather(const Napi::CallbackInfo& info) {
  std::string name = string_argument(info, 0, "the name");
  const std::string value = bytes_argument(info, 1, "the value");
  std::vector<int> members;
  if (!info[2].IsUndefined()) members = members_argument(info, 2);
  const auto deferred = Napi::Promise::Deferred::New(info.Env());
  state()->switchboard->gather(std::move(name), to_bytes(value), settling(info.Env(), deferred), std::move(members));
  return deferred.Promise();
}

Napi::Value RanksHandle::tell(const Napi::CallbackInfo& info) {
  core::check_argument(info[0].IsNumber(), "Expected the number of a rank.");
  state()->switchboard->tell(info[0].As<Napi::Number>().Int32Value(), to_bytes(bytes_argument(info, 1, "the message")));
  return info.Env().Undefined();
}

Napi::Value RanksHandle::traffic(const Napi::CallbackInfo& info) {
  const auto current = state();
  auto tensors = std::make_shared<int64_t>(0);
  JobSpec spec;
  spec.device = kExecutor;
  spec.result = [current, tensors](Napi::Env env) -> Napi::Value {
    Napi::Object result = Napi::Object::New(env);
    result.Set("tensors", to_js(env, *tensors));
    result.Set("values", to_js(env, current->switchboard->bytes()));
    return result;
  };
  return start(info.Env(), std::move(spec), [current, tensors] {
    for (const auto& [members, group] : current->groups) *tensors += group->bytes();
  });
}

Napi::Value RanksHandle::dispose(const Napi::CallbackInfo& info) {
  JobSpec spec;
  spec.device = kExecutor;
  return start(info.Env(), std::move(spec), [state = std::exchange(state_, nullptr)] {
    if (!state) return;
    state->switchboard->close();
  });
}

}  // namespace magrpo::binding
