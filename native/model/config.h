// A decoder's shape, as lib/model/config.ts reads it from config.json. Every field is honoured by this folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

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
  int64_t vocab_size = 0;         // V
  int64_t hidden_size = 0;        // h
  int64_t intermediate_size = 0;  // I
  int64_t num_layers = 0;
  int64_t num_heads = 0;     // H
  int64_t num_kv_heads = 0;  // K
  int64_t head_dim = 0;      // D
  double rms_norm_eps = 1e-6;
  Rope rope;
  bool qkv_bias = false;
  bool output_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;
  bool tie_word_embeddings = false;
  std::vector<int64_t> sliding_windows;  // (layers) tokens a position may look back, itself included; 0: all

  int64_t q_size() const { return num_heads * head_dim; }
  int64_t kv_size() const { return num_kv_heads * head_dim; }
  int64_t qkv_size() const { return q_size() + 2 * kv_size(); }

  // Throws ERR_MODEL_FORMAT where the numbers do not fit together.
  void check() const;
};

}  // namespace magrpo::model
