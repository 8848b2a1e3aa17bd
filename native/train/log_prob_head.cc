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
#include <limits>
#include <vector>

#include "core/device_cuda.h"
#include "kernels/logit_rows/logit_rows.h"
#include "model/linear.h"
#include "model/rows.h"

namespace magrpo::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The head in the dtype that products are computed in.
at::Tensor in_product_dtype(const at::Tensor& head) { return model::widens_products(head) ? head.to(at::kFloat) : head; }

// Rows of hidden states by columns of the vocabulary whose logits exist at once. Large vocabularies are split into tiles of columns
// rather than fewer rows: a product of few rows spends its time on packing the head, and its gradient on reading and writing all of it.
struct Tiling {
  int64_t rows, columns;

  Tiling(const at::Tensor& head, int64_t chunk_logits, int64_t max_columns) {
    const int64_t vocab = head.size(0), tiles = head.is_cuda() ? 1 : (vocab + max_columns - 1) / max_columns;
    columns = (vocab + tiles - 1) / tiles;
    rows = std::max<int64_t>(1, chunk_logits / columns);
  }
};

at::Tensor tile_logits(const at::Tensor& hidden, const at::Tensor& head) {
  return at::linear(hidden.to(head.scalar_type()), head).to(at::kFloat).contiguous();
}

// Per scored token, (M) each.
struct Outputs {
  at::Tensor log_probs, entropies, log_sums;
};

// Running moments of the rows from `begin` on, over tiles of columns.
struct Reader {
  const at::Tensor& targets;
  int64_t begin;
  std::vector<kernels::LogitMoments> moments;
  std::vector<float> chosen;  // logits of the targets
  std::vector<uint8_t> begun;

  Reader(const at::Tensor& targets, int64_t begin, int64_t rows)
      : targets(targets),
        begin(begin),
        moments(static_cast<size_t>(rows)),
        chosen(static_cast<size_t>(rows)),
        begun(static_cast<size_t>(rows)) {}

  // Adds the logits (rows, n) of the tokens from `column` on. Call in order of columns.
  void read(const at::Tensor& logits, int64_t column) {
    const int64_t rows = logits.size(0), n = logits.size(1);
    const float* from = logits.const_data_ptr<float>();
    const int64_t* target = targets.const_data_ptr<int64_t>() + begin;
    model::for_rows(rows, n, [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r) {
        const kernels::LogitMoments tile = kernels::logit_moments(from + r * n, n);
        if (tile.highest == -std::numeric_limits<float>::infinity()) continue;  // the sampler kept none of these tokens
        moments[r] = begun[r] ? kernels::merge(moments[r], tile) : tile;
        begun[r] = 1;
        if (const int64_t at = target[r] - column; at >= 0 && at < n) chosen[r] = from[r * n + at];
      }
    });
  }

  void finish(const Outputs& outputs) const {
    float* log_probs = outputs.log_probs.mutable_data_ptr<float>() + begin;
    float* entropies = outputs.entropies.mutable_data_ptr<float>() + begin;
    float* log_sums = outputs.log_sums.mutable_data_ptr<float>() + begin;
    for (size_t r = 0; r < moments.size(); ++r) {
      const auto [highest, sum, weighted] = moments[r];
      const double log_sum = std::log(sum);
      log_probs[r] = static_cast<float>(static_cast<double>(chosen[r]) - highest - log_sum);
      log_sums[r] = static_cast<float>(highest + log_sum);
      entropies[r] = static_cast<float>(log_sum - weighted / sum);
    }
  }
};

// The logits of a tile as the sampler drew from them. hidden: of the rows from `begin` on, head: of the tokens from `column` on.
at::Tensor shaped_logits(const at::Tensor& hidden, const at::Tensor& head, int64_t begin, int64_t column, const DrawnFrom* drawn_from) {
  at::Tensor logits = tile_logits(hidden, head);
  if (drawn_from != nullptr) drawn_from->shape(logits, drawn_from->marks(logits, begin, column));
  return logits;
}

// Fills in `outputs` of the rows [begin, begin + hidden.size(0)), and returns the last tile's logits.
at::Tensor read_rows(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets, int64_t begin, int64_t columns,
                     const DrawnFrom* drawn_from, const Outputs& outputs) {
  at::Tensor logits;
  if (hidden.is_cuda()) {
    logits = shaped_logits(hidden, head, begin, 0, drawn_from);
    if constexpr (core::kHasCuda)
      kernels::read_logits_cuda(logits.const_data_ptr<float>(), logits.size(0), logits.size(1), targets.const_data_ptr<int64_t>() + begin,
                                outputs.log_probs.mutable_data_ptr<float>() + begin, outputs.log_sums.mutable_data_ptr<float>() + begin,
                                outputs.entropies.mutable_data_ptr<float>() + begin, core::cuda::current_stream());
    return logits;
  }
  Reader reader(targets, begin, hidden.size(0));
  for (int64_t column = 0; column < head.size(0); column += columns) {
    logits = shaped_logits(hidden, head.narrow(0, column, std::min(columns, head.size(0) - column)), begin, column, drawn_from);
    reader.read(logits, column);
  }
  reader.finish(outputs);
  return logits;
}

// Replaces logits of rows [begin, ..) and tokens from `column` on by their gradients, in place.
void replace_by_gradients(at::Tensor& logits, const at::Tensor& targets, int64_t begin, int64_t column, const Outputs& outputs,
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
    if constexpr (core::kHasCuda)
      kernels::logit_gradients_cuda(to, rows, n, target, log_sums, entropies, d_log_prob, d_entropy, core::cuda::current_stream());
    return;
  }
  model::for_rows(rows, n, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      const int64_t at = target[r] - column;
      kernels::logit_gradient(to + r * n, n,
                              {.log_sum = log_sums[r],
                               .entropy = entropies[r],
                               .d_log_prob = d_log_prob[r],
                               .d_entropy = d_entropy ? d_entropy[r] : 0.0f,
                               .target = at < n ? std::max<int64_t>(at, -1) : -1});
    }
  });
}

// Adds `gradient` to the leaf's own, and returns an undefined tensor: a tied head's table may be the largest tensor of all, and autograd
// would hold a second one to sum the gradients of head and embedding. Returns the gradient if the head is no leaf.
at::Tensor accumulate_in_leaf(const at::Tensor& head, at::Tensor gradient) {
  if (!head.is_leaf()) return gradient;
  at::Tensor& own = head.mutable_grad();
  if (own.defined()) own.add_(gradient);
  else own = std::move(gradient);
  return {};
}

class LogProbHead : public torch::autograd::Function<LogProbHead> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
                               const Tiling& tiling, const c10::intrusive_ptr<DrawnFrom>& drawn_from, bool keep_logits) {
    const int64_t count = hidden.size(0);
    const auto float32 = hidden.options().dtype(at::kFloat);
    const Outputs outputs{at::empty({count}, float32), at::empty({count}, float32), at::empty({count}, float32)};
    const at::Tensor products = in_product_dtype(head);
    at::Tensor logits;
    for (int64_t begin = 0; begin < count; begin += tiling.rows) {
      const at::Tensor rows = hidden.narrow(0, begin, std::min(tiling.rows, count - begin));
      logits = read_rows(rows, products, targets, begin, tiling.columns, drawn_from.get(), outputs);
    }
    // A single tile need not be recomputed.
    if (!keep_logits || count > tiling.rows || tiling.columns < head.size(0)) logits = at::Tensor();
    ctx->save_for_backward({hidden, head, targets, outputs.log_sums, outputs.entropies, logits});
    ctx->saved_data["rows"] = tiling.rows;
    ctx->saved_data["columns"] = tiling.columns;
    if (drawn_from) ctx->saved_data["drawn_from"] = c10::IValue::make_capsule(drawn_from);
    ctx->set_materialize_grads(false);
    return {outputs.log_probs, outputs.entropies};
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &hidden = saved[0], &head = saved[1], &targets = saved[2], &kept = saved[5];
    const Outputs outputs{at::Tensor(), saved[4], saved[3]};
    const at::Tensor d_log_probs = gradients[0].defined() ? gradients[0] : at::zeros_like(outputs.log_sums);
    const at::Tensor& d_entropies = gradients[1];  // undefined unless the objective has an entropy term
    const int64_t count = hidden.size(0), vocab = head.size(0);
    const at::Tensor products = in_product_dtype(head);
    const int64_t max_rows = ctx->saved_data["rows"].toInt(), max_columns = ctx->saved_data["columns"].toInt();
    c10::intrusive_ptr<DrawnFrom> drawn_from;
    if (const auto held = ctx->saved_data.find("drawn_from"); held != ctx->saved_data.end())
      drawn_from = c10::static_intrusive_pointer_cast<DrawnFrom>(held->second.toCapsule());
    at::Tensor d_hidden = at::empty_like(hidden), d_head;
    if (ctx->needs_input_grad(1)) d_head = at::empty(head.sizes(), head.options().dtype(at::kFloat));
    for (int64_t begin = 0; begin < count; begin += max_rows) {
      const at::Tensor rows = hidden.narrow(0, begin, std::min(max_rows, count - begin)), wide = rows.to(at::kFloat);
      at::Tensor d_rows;  // float32, whatever the products are in
      for (int64_t column = 0; column < vocab; column += max_columns) {
        const int64_t columns = std::min(max_columns, vocab - column);
        const at::Tensor tile = products.narrow(0, column, columns);
        at::Tensor d_logits = kept.defined() ? kept : tile_logits(rows, tile), marks;
        if (drawn_from) {
          marks = drawn_from->marks(d_logits, begin, column);
          if (!kept.defined()) drawn_from->shape(d_logits, marks);
          drawn_from->note_signs(d_logits, marks);
        }
        replace_by_gradients(d_logits, targets, begin, column, outputs, d_log_probs, d_entropies);
        if (drawn_from) drawn_from->unshape(d_logits, marks);
        const at::Tensor part = at::mm(d_logits.to(tile.scalar_type()), tile).to(at::kFloat);
        d_rows = d_rows.defined() ? d_rows.add_(part) : part;
        if (!d_head.defined()) continue;
        at::Tensor d_tile = d_head.narrow(0, column, columns);
        if (begin == 0) at::mm_out(d_tile, d_logits.t(), wide);
        else d_tile.addmm_(d_logits.t(), wide);
      }
      d_hidden.narrow(0, begin, rows.size(0)).copy_(d_rows);
    }
    if (d_head.defined()) d_head = accumulate_in_leaf(head, d_head.to(head.scalar_type()));
    return {d_hidden, d_head, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

TokenScores score_tokens(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets, int64_t chunk_logits,
                         int64_t tile_columns, c10::intrusive_ptr<DrawnFrom> drawn_from) {
  const bool keep_logits = at::GradMode::is_enabled() && (hidden.requires_grad() || head.requires_grad());
  const auto outputs = LogProbHead::apply(hidden, head, targets, Tiling(head, chunk_logits, tile_columns), drawn_from, keep_logits);
  return {outputs[0], outputs[1]};
}

}  // namespace magrpo::train
