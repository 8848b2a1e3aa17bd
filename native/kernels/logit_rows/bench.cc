#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/randn.h>

#include <string>

#include "bench/kernel_cases.h"
#include "kernels/logit_rows/logit_rows.h"
#include "model/rows.h"

namespace magrpo::bench {
namespace {

// Normalisation and entropy of each row; then the gradient of both, in the logits' place.
void add_logit_rows(std::vector<KernelCase>& cases) {
  constexpr int64_t rows = kGroup * kCompletion;
  const at::Tensor logits = at::randn({rows, kVocab});
  const std::string shape = "512 rows of 8192";
  const auto read = [=] {
    model::for_rows(rows, kVocab, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) kernels::logit_moments(logits.const_data_ptr<float>() + r * kVocab, kVocab);
    });
    return logits;
  };
  const auto plain = [=] {
    const at::Tensor log_probs = at::log_softmax(logits, -1);
    return (log_probs.exp() * log_probs).sum(-1);
  };
  cases.push_back({"logit_rows", shape, kFloat * logits.numel(), 13 * logits.numel(), without_gradient(read), without_gradient(plain)});
  const auto gradient = [=] {
    model::for_rows(rows, kVocab, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        kernels::logit_gradient(logits.mutable_data_ptr<float>() + r * kVocab, kVocab, {9.5f, 8.5f, -1e-3f, 1e-4f, r});
    });
    return logits;
  };
  const auto plain_gradient = [=] {
    const at::Tensor log_probs = logits - 9.5, p = log_probs.exp();
    return p * 1e-3 - p * (log_probs + 8.5) * 1e-4;
  };
  cases.push_back({"logit_rows gradient", shape, kFloat * 2 * logits.numel(), 15 * logits.numel(), without_gradient(gradient),
                   without_gradient(plain_gradient)});
}

const Registration logit_rows(add_logit_rows);

}  // namespace
}  // namespace magrpo::bench
