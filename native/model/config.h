// A decoder's shape, as lib/model/config.ts reads it from config.json. Every field is honoured by this folder.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "model/architecture.h"

namespace magrpo::model {

// Rotary settings, resolved from either spelling of config.json.
struct Rope {
  std::string type = "default";  // default | linear | llama3
  double theta = 10000.0;
  double factor = 1.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  int64_t original_max_positions = 0;
};

struct Config {
  const Architecture* architecture = &find_architecture("llama");
  int64_t vocab_size = 0;         // V
  int64_t hidden_size = 0;        // h
  int64_t intermediate_size = 0;  // I
  int64_t num_layers = 0;
  int64_t num_heads = 0;     // H
  int64_t num_kv_heads = 0;  // K
  int64_t head_dim = 0;      // D
  double rms_norm_eps = 1e-6;
  double query_scalar = 0.0;     // attention's scores are divided by its root; 0: head_dim
  std::vector<Rope> ropes{1};    // of all layers, or of those with full attention and those with a window
  bool qkv_bias = false;
  bool output_bias = false;
  bool mlp_bias = false;
  bool tie_word_embeddings = false;
  std::vector<int64_t> sliding_windows;  // (layers) tokens that a position may look back, itself included; 0: all

  int64_t q_size() const { return num_heads * head_dim; }
  int64_t kv_size() const { return num_kv_heads * head_dim; }
  int64_t qkv_size() const { return q_size() + 2 * kv_size(); }
  int64_t size_of(Width width) const;
  float attention_scale() const {
    return static_cast<float>(1.0 / std::sqrt(query_scalar > 0.0 ? query_scalar : static_cast<double>(head_dim)));
  }
  // Which of `ropes` a layer has.
  size_t rope_of(size_t layer) const { return ropes.size() > 1 && sliding_windows[layer] > 0 ? 1 : 0; }

  // Throws ERR_MODEL_FORMAT where the numbers do not fit together.
  void check() const;
};

}  // namespace magrpo::model
