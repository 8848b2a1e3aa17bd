// Tiny random decoders, and the same decoder written plainly in float64 for one text at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "check/tensors.h"
#include "model/decoder.h"

namespace magrpo::test {

using check::largest_difference;
using check::random;

// Those that between them have every block.
inline constexpr const char* kArchitectures[]{"qwen3", "gemma3_text"};

// Two layers, 4 heads over 2 KV heads, biases, and a window of 4 on the second layer; V = 23, h = 12. By default with q and k norms.
model::Config tiny_config(const std::string& architecture = "qwen3");

// All different tensors, in a fixed order.
std::vector<at::Tensor> parameters(const model::Config& config, const model::Weights& weights);

std::shared_ptr<model::Decoder> tiny_decoder(const model::Config& config, uint64_t seed, at::ScalarType dtype = at::kFloat);

// An adapter whose B is not zero.
model::Adapter random_adapter(const model::Config& config, int64_t rank, double scale, const std::vector<std::string>& targets,
                              uint64_t seed);

// Copies in float64 that want gradients; a tied head stays the embedding itself.
model::Weights in_double(const model::Config& config, const model::Weights& weights);
model::Adapter in_double(const model::Adapter& adapter);

// (T, V) log-probabilities of every token after each of `ids`, from float64 weights and an adapter or nullptr. Differentiable.
at::Tensor naive_log_probs(const model::Config& config, const model::Weights& weights, const model::Adapter* adapter,
                           const std::vector<int32_t>& ids);

}  // namespace magrpo::test
