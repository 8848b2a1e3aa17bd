// What arch/NAME.json says of an architecture, as far as weights and forward passes depend on it. The rest, how a config.json is read,
// is for lib/model/config.ts.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "kernels/swiglu/swiglu.h"

namespace magrpo::model {

using kernels::Activation;

// The projections of a layer, which an adapter may sit on.
enum Projection : int { kQuery, kKey, kValue, kOutput, kGate, kUp, kDown, kProjections };

// Spelt as in the files.
enum class Width { hidden, query, key, mlp };
enum class EmbeddingScale { one, sqrt_hidden_size };

struct ProjectionSpec {
  std::string tensor;
  Width in, out;

  // What PEFT calls it: the last part of the tensor's name.
  std::string name() const { return tensor.substr(tensor.rfind('.') + 1); }
};

struct Architecture {
  std::string model_type;
  // Checkpoint names without ".weight". "{layer}" stands for the number of a layer, "" for a tensor that the architecture lacks.
  std::string embedding;
  std::string attention_norm, query_norm, key_norm, attention_post_norm;
  std::string mlp_norm, mlp_post_norm;
  std::string final_norm, head;
  std::array<ProjectionSpec, kProjections> projections;
  Activation activation;
  EmbeddingScale embedding_scale;
  double norm_offset;  // added to the weight of every norm
};

// One per file of arch/, sorted by name.
const std::vector<Architecture>& architectures();

// Throws ERR_MODEL_UNSUPPORTED where there is none of that name.
const Architecture& find_architecture(const std::string& model_type);

}  // namespace magrpo::model
