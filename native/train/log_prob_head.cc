#include "train/log_prob_head.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "core/device_cuda.h"
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
  if (logits.is_cuda()) {
    if constexpr (kHasCuda)
      kernels::read_logits_cuda(logits.const_data_ptr<float>(), rows, n, targets.const_data_ptr<int64_t>() + begin,
                                outputs.log_probs.mutable_data_ptr<float>() + begin, outputs.log_sums.mutable_data_ptr<float>() + begin,
                                outputs.entropies.mutable_data_ptr<float>() + begin, cuda::current_stream());
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
  float* to = logits.mutable_data_ptr<float>();
  const int64_t* target = targets.const_data_ptr<int64_t>() + begin;
  const float* log_sums = outputs.log_sums.const_data_ptr<float>() + begin;
  const float* entropies = outputs.entropies.const_data_ptr<float>() + begin;
  const at::Tensor g = d_log_probs.contiguous(), h = d_entropies.defined() ? d_entropies.contiguous() : at::Tensor();
  const float* d_log_prob = g.const_data_ptr<float>() + begin;
  const float* d_entropy = h.defined() ? h.const_data_ptr<float>() + begin : nullptr;
  if (logits.is_cuda()) {
    if constexpr (kHasCuda)
      kernels::logit_gradients_cuda(to, rows, n, target, log_sums, entropies, d_log_prob, d_entropy, cuda::current_stream());
    return;
  }
  model::for_rows(rows, n, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r)
      kernels::logit_gradient(to + r * n, n,
                              {.log_sum = log_sums[r],
                               .entropy = entropies[r],
                               .d_log_prob = d_log_prob[r],
                               .d_entropy = d_entropy ? d_entropy[r] : 0.0f,
                               .target = target[r]});
  });
}

// Makes `gradient` the leaf's own, or adds it to that, and returns nothing: a tied head's table may be the largest tensor of all, and
// autograd would hold a second one to add up those of head and embedding. Returns the gradient if the head is no leaf.
at::Tensor given_to_leaf(const at::Tensor& head, at::Tensor gradient) {
  if (!head.is_leaf()) return gradient;
  at::Tensor& own = head.mutable_grad();
  if (own.defined()) own.add_(gradient);
  else own = std::move(gradient);
  return {};
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
    if (d_head.defined()) d_head = given_to_leaf(head, d_head.to(head.scalar_type()));
    return {d_hidden, d_head, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

TokenScores score_tokens(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets, int64_t chunk_logits) {
  const bool keeps_logits = at::GradMode::is_enabled() && (hidden.requires_grad() || head.requires_grad());
  const auto outputs = LogProbHead::apply(hidden, head, targets, std::max<int64_t>(1, chunk_logits / head.size(0)), keeps_logits);
  return {outputs[0], outputs[1]};
}

}  // namespace magrpo::train
