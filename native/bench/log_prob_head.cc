#include "train/log_prob_head.h"

#include <ATen/ops/gather.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/randint.h>

#include <string>

#include "bench/kernel_cases.h"

namespace magrpo::bench {
namespace {

void add_head(std::vector<KernelCase>& cases) {
  constexpr int64_t rows = kGroup * kCompletion;
  const at::Tensor hidden = variable({rows, kWidth}), head = variable({kVocab, kWidth});
  const at::Tensor targets = at::randint(kVocab, {rows}, at::kLong);
  const Compute ours = [=] {
    const auto scores = train::score_tokens(hidden, head, targets);
    return scores.log_probs;
  };
  const Compute aten = [=] {
    const at::Tensor log_probs = at::log_softmax(at::linear(hidden, head), -1);
    return log_probs.gather(1, targets.unsqueeze(1)).squeeze(1);
  };
  const int64_t operations = 2 * rows * kWidth * kVocab, bytes = kFloat * (hidden.numel() + head.numel());
  const std::string shape = "512 x 512 x 8192";
  cases.push_back({"log_prob_head", shape, bytes, operations, without_gradient(ours), without_gradient(aten)});
  cases.push_back({"log_prob_head and gradient", shape, 3 * bytes, 3 * operations, with_gradient(ours, {hidden, head}),
                   with_gradient(aten, {hidden, head})});
}

const Registration head(add_head);

}  // namespace
}  // namespace magrpo::bench
