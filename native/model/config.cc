#include "model/config.h"

#include "core/errors.h"

namespace magrpo::model {

const std::vector<Architecture>& architectures() {
  // Never destroyed: models refer to it, and executors may still use them while the process ends.
  static const auto* all = new std::vector<Architecture>{
#include "generated/architectures.inc"
  };
  return *all;
}

const Architecture& find_architecture(const std::string& model_type) {
  for (const Architecture& architecture : architectures())
    if (architecture.model_type == model_type) return architecture;
  throw core::Error("ERR_MODEL_UNSUPPORTED", "There is no architecture \"", model_type, "\".");
}

int64_t Config::size_of(Width width) const {
  switch (width) {
    case Width::query:
      return q_size();
    case Width::key:
      return kv_size();
    case Width::mlp:
      return intermediate_size;
    default:
      return hidden_size;
  }
}

void Config::check() const {
  const auto require = [](bool holds, const auto&... parts) { core::check(holds, "ERR_MODEL_FORMAT", parts...); };
  require(vocab_size > 0 && hidden_size > 0 && intermediate_size > 0 && num_layers > 0 && num_heads > 0 && num_kv_heads > 0 && head_dim > 0,
          "Expected positive sizes in config.json.");
  require(num_heads % num_kv_heads == 0, "Expected num_attention_heads (", num_heads, ") to be a multiple of num_key_value_heads (",
          num_kv_heads, ").");
  require(head_dim % 2 == 0, "Expected an even head_dim but received ", head_dim, ".");
  require(static_cast<int64_t>(sliding_windows.size()) == num_layers, "Expected ", num_layers, " sliding windows but received ",
          sliding_windows.size(), ".");
  require(!ropes.empty(), "Expected rotary settings.");
  for (const Rope& rope : ropes)
    require(rope.type == "default" || rope.type == "linear" || rope.type == "llama3",
            "Expected rope type default, linear or llama3 but received \"", rope.type, "\".");
}

}  // namespace magrpo::model
