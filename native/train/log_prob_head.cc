#include "train/log_prob_head.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "kernels/logit_rows.h"
#include "model/linear.h"
#include "model/rows.h"

namespace magrpo::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The head in the precision that products are computed in.
at::Tensor as_multiplied(const at::Tensor& head) { return model::widens_products(head) ? head.to(at::kFloat) : head; }

at::Tensor chunk_logits(const at::Tensor& hidden, const at::Tensor& head, int64_t begin, int64_t rows) {
  return at::linear(hidden.narrow(0, begin, rows).to(head.scalar_type()), head).to(at::kFloat).contiguous();
}

// Per scored token, (M) each.
struct Outputs {
  at::Tensor log_probs, entropies, log_sums;
};

// Fills in `outputs` of the rows [begin, begin + logits.size(0)).
void read_logits(const at::Tensor& logits, const at::Tensor& targets, int64_t begin, const Outputs& outputs) {
  const int64_t rows = logits.size(0), n = logits.size(1);
  if (!logits.is_cpu()) {
    const at::Tensor log_sum = at::logsumexp(logits, {1});
    const at::Tensor chosen = logits.gather(1, targets.narrow(0, begin, rows).unsqueeze(1)).squeeze(1);
    outputs.log_probs.narrow(0, begin, rows).copy_(chosen - log_sum);
    outputs.log_sums.narrow(0, begin, rows).copy_(log_sum);
    // H = lse - Σ p·logit; a token of probability 0 adds nothing even if its logit is -inf.
    const at::Tensor p = logits.sub(log_sum.unsqueeze(1)).exp_();
    outputs.entropies.narrow(0, begin, rows).copy_(log_sum - p.mul_(logits).nan_to_num_(0.0).sum(1));
    return;
  }
  const float* from = logits.const_data_ptr<float>();
  const int64_t* target = targets.const_data_ptr<int64_t>() + begin;
  float* log_probs = outputs.log_probs.mutable_data_ptr<float>() + begin;
  float* entropies = outputs.entropies.mutable_data_ptr<float>() + begin;
  float* log_sums = outputs.log_sums.mutable_data_ptr<float>() + begin;
  model::for_rows(rows, n, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      const auto [highest, sum, weighted] = kernels::logit_moments(from + r * n, n);
      const double log_sum = std::log(sum);
      log_probs[r] = static_cast<float>(static_cast<double>(from[r * n + target[r]]) - highest - log_sum);
      log_sums[r] = static_cast<float>(highest + log_sum);
      entropies[r] = static_cast<float>(log_sum - weighted / sum);
    }
  });
}

// What backward needs of rows [begin, ..): logits become their gradients, in place.
void turn_into_gradients(at::Tensor& logits, const at::Tensor& targets, int64_t begin, const Outputs& outputs,
                         const at::Tensor& d_log_probs, const at::Tensor& d_entropies) {
  const int64_t rows = logits.size(0), n = logits.size(1);
  if (!logits.is_cpu()) {
    const at::Tensor g = d_log_probs.narrow(0, begin, rows).unsqueeze(1);
    logits.sub_(outputs.log_sums.narrow(0, begin, rows).unsqueeze(1));
    if (d_entropies.defined()) {
      const at::Tensor deviation = logits + outputs.entropies.narrow(0, begin, rows).unsqueeze(1);  // log p + H
      logits.exp_();
      const at::Tensor by_entropy = (deviation * logits).nan_to_num_(0.0).mul_(d_entropies.narrow(0, begin, rows).unsqueeze(1));
      logits.mul_(g.neg()).sub_(by_entropy);
    } else {
      logits.exp_().mul_(g.neg());
    }
    logits.scatter_add_(1, targets.narrow(0, begin, rows).unsqueeze(1), g.contiguous());
    return;
  }
  float* to = logits.mutable_data_ptr<float>();
  const int64_t* target = targets.const_data_ptr<int64_t>() + begin;
  const float* log_sums = outputs.log_sums.const_data_ptr<float>() + begin;
  const float* entropies = outputs.entropies.const_data_ptr<float>() + begin;
  const at::Tensor g = d_log_probs.contiguous(), h = d_entropies.defined() ? d_entropies.contiguous() : at::Tensor();
  model::for_rows(rows, n, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r)
      kernels::logit_gradient(to + r * n, n,
                              {.log_sum = log_sums[r],
                               .entropy = entropies[r],
                               .d_log_prob = g.const_data_ptr<float>()[begin + r],
                               .d_entropy = h.defined() ? h.const_data_ptr<float>()[begin + r] : 0.0f,
                               .target = target[r]});
  });
}

class LogProbHead : public torch::autograd::Function<LogProbHead> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
                               int64_t step, bool keeps_logits) {
    const int64_t count = hidden.size(0);
    const auto float32 = hidden.options().dtype(at::kFloat);
    const Outputs outputs{at::empty({count}, float32), at::empty({count}, float32), at::empty({count}, float32)};
    const at::Tensor products = as_multiplied(head);
    at::Tensor logits;
    for (int64_t begin = 0; begin < count; begin += step) {
      logits = chunk_logits(hidden, products, begin, std::min(step, count - begin));
      read_logits(logits, targets, begin, outputs);
    }
    // One chunk of all rows need not be computed again.
    if (!keeps_logits || count > step) logits = at::Tensor();
    ctx->save_for_backward({hidden, head, targets, outputs.log_sums, outputs.entropies, logits});
    ctx->saved_data["step"] = step;
    ctx->set_materialize_grads(false);
    return {outputs.log_probs, outputs.entropies};
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &hidden = saved[0], &head = saved[1], &targets = saved[2], &kept = saved[5];
    const Outputs outputs{at::Tensor(), saved[4], saved[3]};
    const at::Tensor d_log_probs = gradients[0].defined() ? gradients[0] : at::zeros_like(outputs.log_sums);
    const at::Tensor& d_entropies = gradients[1];  // undefined unless the objective has an entropy term
    const int64_t count = hidden.size(0);
    const at::Tensor products = as_multiplied(head);
    at::Tensor d_hidden = at::empty_like(hidden), d_head;
    const int64_t step = ctx->saved_data["step"].toInt();
    for (int64_t begin = 0; begin < count; begin += step) {
      const int64_t rows = std::min(step, count - begin);
      at::Tensor d_logits = kept.defined() ? kept : chunk_logits(hidden, products, begin, rows);
      turn_into_gradients(d_logits, targets, begin, outputs, d_log_probs, d_entropies);
      d_hidden.narrow(0, begin, rows).copy_(at::mm(d_logits.to(products.scalar_type()), products));
      if (!ctx->needs_input_grad(1)) continue;
      const at::Tensor chunk = hidden.narrow(0, begin, rows).to(at::kFloat);
      if (d_head.defined()) d_head.addmm_(d_logits.t(), chunk);
      else d_head = at::mm(d_logits.t(), chunk);
    }
    return {d_hidden, d_head.defined() ? d_head.to(head.scalar_type()) : d_head, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

TokenScores score_tokens(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets, int64_t chunk_logits) {
  const bool keeps_logits = at::GradMode::is_enabled() && (hidden.requires_grad() || head.requires_grad());
  const auto outputs = LogProbHead::apply(hidden, head, targets, std::max<int64_t>(1, chunk_logits / head.size(0)), keeps_logits);
  return {outputs[0], outputs[1]};
}

}  // namespace magrpo::train
