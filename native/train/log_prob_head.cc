#include "train/log_prob_head.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "model/linear.h"

namespace magrpo::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The head in the precision that products are computed in.
at::Tensor as_multiplied(const at::Tensor& head) { return model::widens_products(head) ? head.to(at::kFloat) : head; }

at::Tensor chunk_logits(const at::Tensor& hidden, const at::Tensor& head, int64_t begin, int64_t rows) {
  return at::linear(hidden.narrow(0, begin, rows).to(head.scalar_type()), head).to(at::kFloat);
}

class LogProbHead : public torch::autograd::Function<LogProbHead> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
                               int64_t step) {
    const int64_t count = hidden.size(0);
    const auto float32 = hidden.options().dtype(at::kFloat);
    at::Tensor log_probs = at::empty({count}, float32);
    at::Tensor entropies = at::empty({count}, float32);
    at::Tensor log_sums = at::empty({count}, float32);
    const at::Tensor products = as_multiplied(head);
    for (int64_t begin = 0; begin < count; begin += step) {
      const int64_t rows = std::min(step, count - begin);
      const at::Tensor logits = chunk_logits(hidden, products, begin, rows);
      const at::Tensor log_sum = at::logsumexp(logits, {1});
      log_probs.narrow(0, begin, rows).copy_(logits.gather(1, targets.narrow(0, begin, rows).unsqueeze(1)).squeeze(1) - log_sum);
      log_sums.narrow(0, begin, rows).copy_(log_sum);
      // H = lse - Σ p·logit; a token of probability 0 adds nothing even if its logit is -inf.
      const at::Tensor p = logits.sub(log_sum.unsqueeze(1)).exp_();
      entropies.narrow(0, begin, rows).copy_(log_sum - p.mul_(logits).nan_to_num_(0.0).sum(1));
    }
    ctx->save_for_backward({hidden, head, targets, log_sums, entropies});
    ctx->saved_data["step"] = step;
    ctx->set_materialize_grads(false);
    return {log_probs, entropies};
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &hidden = saved[0], &head = saved[1], &targets = saved[2], &log_sums = saved[3], &entropies = saved[4];
    const at::Tensor d_log_probs = gradients[0].defined() ? gradients[0] : at::zeros_like(log_sums);
    const at::Tensor& d_entropies = gradients[1];  // undefined unless the objective has an entropy term
    const int64_t count = hidden.size(0);
    const at::Tensor products = as_multiplied(head);
    at::Tensor d_hidden = at::empty_like(hidden);
    at::Tensor d_head = ctx->needs_input_grad(1) ? at::zeros(head.sizes(), head.options().dtype(at::kFloat)) : at::Tensor();
    const int64_t step = ctx->saved_data["step"].toInt();
    for (int64_t begin = 0; begin < count; begin += step) {
      const int64_t rows = std::min(step, count - begin);
      const at::Tensor g = d_log_probs.narrow(0, begin, rows).unsqueeze(1);
      at::Tensor d_logits = chunk_logits(hidden, products, begin, rows).sub_(log_sums.narrow(0, begin, rows).unsqueeze(1));
      if (d_entropies.defined()) {
        const at::Tensor deviation = d_logits + entropies.narrow(0, begin, rows).unsqueeze(1);  // log p + H
        d_logits.exp_();
        const at::Tensor by_entropy = (deviation * d_logits).nan_to_num_(0.0).mul_(d_entropies.narrow(0, begin, rows).unsqueeze(1));
        d_logits.mul_(g.neg()).sub_(by_entropy);
      } else {
        d_logits.exp_().mul_(g.neg());
      }
      d_logits.scatter_add_(1, targets.narrow(0, begin, rows).unsqueeze(1), g.contiguous());
      d_hidden.narrow(0, begin, rows).copy_(at::mm(d_logits.to(products.scalar_type()), products));
      if (d_head.defined()) d_head.addmm_(d_logits.t(), hidden.narrow(0, begin, rows).to(at::kFloat));
    }
    return {d_hidden, d_head.defined() ? d_head.to(head.scalar_type()) : d_head, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

TokenScores score_tokens(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets, int64_t chunk_logits) {
  const auto outputs = LogProbHead::apply(hidden, head, targets, std::max<int64_t>(1, chunk_logits / head.size(0)));
  return {outputs[0], outputs[1]};
}

}  // namespace magrpo::train
