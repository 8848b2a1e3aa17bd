#include "model/adapted_product.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>

#include <optional>
#include <utility>

#include "kernels/low_rank/low_rank.h"
#include "kernels/row_product/row_product.h"
#include "model/autograd.h"
#include "model/linear.h"

namespace magrpo::model {
namespace {

// The adapter of one projection: for some columns of the output.
struct LoraSlice {
  int64_t column;
  LowRank low_rank;

  int64_t rank() const { return low_rank.a.size(0); }
  int64_t width() const { return low_rank.b.size(0); }
};

// The LoRA updates for one policy's rows.
struct PolicyRows {
  int64_t begin, end;  // the tokens
  double scale;
  std::vector<LoraSlice> slices;

  at::Tensor rows(const at::Tensor& x) const { return x.narrow(0, begin, end - begin); }
  at::Tensor block(const at::Tensor& y, const LoraSlice& slice) const { return rows(y).narrow(1, slice.column, slice.width()); }
  // All A one below the other, (Σ r, in), so that tokens are read once.
  at::Tensor all_a() const {
    if (slices.size() == 1) return slices.front().low_rank.a;
    variable_list parts;
    for (const LoraSlice& slice : slices) parts.push_back(slice.low_rank.a);
    return at::cat(parts, 0);
  }
};

std::vector<PolicyRows> policy_rows_of(const Config& config, const std::vector<const Adapter*>& adapters, const PackedBatch& batch,
                                       size_t layer, const std::vector<Projection>& projections) {
  std::vector<PolicyRows> policies;
  for (const auto& range : batch.policies) {
    const Adapter* adapter = range.policy < 0 ? nullptr : adapters[range.policy];
    if (adapter == nullptr) continue;
    PolicyRows policy{range.begin, range.end, adapter->scale, {}};
    int64_t column = 0;
    for (const Projection p : projections) {
      if (const LowRank& low_rank = adapter->layers[layer][p]; low_rank.a.defined()) policy.slices.push_back({column, low_rank});
      column += output_size(config, p);
    }
    if (!policy.slices.empty()) policies.push_back(std::move(policy));
  }
  return policies;
}

at::Tensor value_of(const ProductInput& input) {
  switch (input.kind) {
    case ProductInput::kGated:
      return gated(input.activation, input.source);
    case ProductInput::kNormed:
      return rms_norm(input.source, input.norm_weight, input.norm);
    default:
      return input.source;
  }
}

// Whether the kernels compute it, and its gradient.
bool kernels_support_input(const ProductInput& input) {
  switch (input.kind) {
    case ProductInput::kGated:
      return kernels_support_gates(input.source);
    case ProductInput::kNormed:
      return kernels_support_norm(input.source, input.norm_weight);
    default:
      return true;
  }
}

// For training: one node of the graph in place of some ten an adapter, and no tensor of the output's size but the output.
class AdaptedProduct : public torch::autograd::Function<AdaptedProduct> {
 public:
  // `low_ranks`: A and B of each slice, for the graph.
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& source, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                            const std::optional<at::Tensor>& norm_weight, at::TensorList low_ranks, const std::vector<PolicyRows>& policies,
                            const ProductInput& input) {
    at::Tensor inverse;
    const bool is_normed = input.kind == ProductInput::kNormed;
    const at::Tensor x = is_normed ? rms_norm_rows(source, *norm_weight, input.norm, inverse) : value_of(input);
    const at::Tensor y = project(x, weight, bias.value_or(at::Tensor()), true);
    variable_list saved{source, weight, is_normed ? *norm_weight : at::Tensor(), inverse};
    saved.insert(saved.end(), low_ranks.begin(), low_ranks.end());
    std::vector<int64_t> layout;
    std::vector<double> scales;
    for (const PolicyRows& policy : policies) {
      saved.push_back(at::mm(policy.rows(x), policy.all_a().t()));  // (n, Σ r)
      scales.push_back(policy.scale);
      layout.insert(layout.end(), {policy.begin, policy.end, static_cast<int64_t>(policy.slices.size())});
      int64_t from = 0;
      for (const LoraSlice& slice : policy.slices) {
        const at::Tensor inner = saved.back().narrow(1, std::exchange(from, from + slice.rank()), slice.rank());
        policy.block(y, slice).addmm_(inner, slice.low_rank.b.t(), 1.0, policy.scale);
        layout.push_back(slice.column);
      }
    }
    ctx->save_for_backward(saved);
    ctx->saved_data["layout"] = layout;
    ctx->saved_data["scales"] = scales;
    ctx->saved_data["kind"] = static_cast<int64_t>(input.kind);
    ctx->saved_data["eps"] = input.norm.eps;
    ctx->saved_data["offset"] = input.norm.offset;
    ctx->saved_data["activation"] = static_cast<int64_t>(input.activation);
    ctx->saved_data["trains_bias"] = bias.has_value() && bias->requires_grad();
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &source = saved[0], &weight = saved[1], d_y = gradients[0].contiguous();
    const std::vector<PolicyRows> policies = read_policy_rows(ctx, saved);
    const ProductInput input{static_cast<ProductInput::Kind>(ctx->saved_data["kind"].toInt()),
                             source,
                             saved[2],
                             {ctx->saved_data["eps"].toDouble(), ctx->saved_data["offset"].toDouble()},
                             static_cast<Activation>(ctx->saved_data["activation"].toInt())};
    const at::Tensor x = value_of(input);
    at::Tensor d_x = ctx->needs_input_grad(0) ? at::mm(d_y, weight) : at::Tensor();
    const at::Tensor d_weight = weight.requires_grad() ? at::mm(d_y.t(), x) : at::Tensor();
    const at::Tensor d_bias = ctx->saved_data["trains_bias"].toBool() ? d_y.sum(0) : at::Tensor();
    variable_list d_low_ranks;
    auto inner = saved.end() - static_cast<int64_t>(policies.size());
    for (const PolicyRows& policy : policies) add_gradients(policy, *inner++, x, d_y, d_x, d_low_ranks);
    at::Tensor d_norm_weight;
    if (d_x.defined() && input.kind == ProductInput::kGated) d_x = gated_gradient(input.activation, source, d_x);
    if (d_x.defined() && input.kind == ProductInput::kNormed) {
      const NormGradients found = rms_norm_gradients(source, saved[2], input.norm, saved[3], d_x, saved[2].requires_grad());
      d_x = found.x;
      d_norm_weight = found.weight;
    }
    variable_list result{d_x, d_weight, d_bias, d_norm_weight};
    result.insert(result.end(), d_low_ranks.begin(), d_low_ranks.end());
    result.insert(result.end(), 2, at::Tensor());  // the policies and the input
    return result;
  }

 private:
  // Adds a policy's part to d_x, where that is wanted, and its A and B's gradients to the list.
  static void add_gradients(const PolicyRows& policy, const at::Tensor& inner, const at::Tensor& x, const at::Tensor& d_y,
                            const at::Tensor& d_x, variable_list& d_low_ranks) {
    const bool is_trained = policy.slices.front().low_rank.a.requires_grad();
    const at::Tensor d_inner = at::empty_like(inner);
    variable_list d_bs;
    int64_t from = 0;
    for (const LoraSlice& slice : policy.slices) {
      const at::Tensor d_block = policy.block(d_y, slice);
      at::Tensor d_part = d_inner.narrow(1, from, slice.rank());
      at::mm_out(d_part, d_block, slice.low_rank.b);
      const at::Tensor part = inner.narrow(1, std::exchange(from, from + slice.rank()), slice.rank());
      d_bs.push_back(is_trained ? at::mm(d_block.t(), part).mul_(policy.scale) : at::Tensor());
    }
    d_inner.mul_(policy.scale);
    if (d_x.defined()) policy.rows(d_x).addmm_(d_inner, policy.all_a());
    const at::Tensor d_a = is_trained ? at::mm(d_inner.t(), policy.rows(x)) : at::Tensor();
    from = 0;
    for (size_t i = 0; i < policy.slices.size(); ++i) {
      const int64_t rank = policy.slices[i].rank();
      d_low_ranks.push_back(is_trained ? d_a.narrow(0, std::exchange(from, from + rank), rank) : at::Tensor());
      d_low_ranks.push_back(d_bs[i]);
    }
  }

  static std::vector<PolicyRows> read_policy_rows(AutogradContext* ctx, const variable_list& saved) {
    const auto layout = ctx->saved_data["layout"].toIntVector();
    auto low_rank = saved.begin() + 4;
    auto number = layout.begin();
    std::vector<PolicyRows> policies;
    for (const double scale : ctx->saved_data["scales"].toDoubleVector()) {
      PolicyRows policy{number[0], number[1], scale, {}};
      const int64_t slices = number[2];
      number += 3;
      for (int64_t i = 0; i < slices; ++i, low_rank += 2) policy.slices.push_back({*number++, {low_rank[0], low_rank[1]}});
      policies.push_back(std::move(policy));
    }
    return policies;
  }
};

at::Tensor delta(const at::Tensor& x, const PolicyRows& policy, const LowRank& low_rank) {
  const at::Tensor rows = policy.rows(x).to(at::kFloat);
  // Without a graph by the product of few rows where there are few, which gives a row the same bits whatever else is in the batch.
  const auto times = [](const at::Tensor& from, const at::Tensor& weight) {
    return at::GradMode::is_enabled() ? at::linear(from, weight) : project(from, weight, at::Tensor());
  };
  return times(times(rows, low_rank.a), low_rank.b).mul(policy.scale).to(x.scalar_type());
}

// Adds scale · (x Aᵀ) Bᵀ to y's block by the kernels of few rows.
void add_to_rows(const PolicyRows& policy, const LoraSlice& slice, const at::Tensor& x, at::Tensor& y) {
  const int64_t rows = policy.end - policy.begin, rank = slice.rank();
  const at::Tensor inner = at::empty({rows, rank}, x.options());
  const kernels::RowProduct down{.x = floats(x) + policy.begin * x.stride(0),
                                 .weight = slice.low_rank.a.const_data_ptr(),
                                 .y = mutable_floats(inner),
                                 .rows = rows,
                                 .in = x.size(1),
                                 .out = rank,
                                 .x_stride = x.stride(0)};
  float* block = mutable_floats(y) + policy.begin * y.stride(0) + slice.column;
  const float* b = floats(slice.low_rank.b);
  const float scale = static_cast<float>(policy.scale);
  if (!x.is_cuda()) {
    kernels::row_product(down, 0, rank);
    // The CPU's low_rank_add wants B transposed, which pays where many steps use it (model/row_decoder.h).
    const kernels::RowProduct up{.x = floats(inner),
                                 .weight = b,
                                 .y = block,
                                 .rows = rows,
                                 .in = rank,
                                 .out = slice.width(),
                                 .y_stride = y.stride(0),
                                 .scale = scale,
                                 .adds = true};
    kernels::row_product(up, 0, up.out);
  } else if constexpr (core::kHasCuda) {
    kernels::row_product_cuda(down, 0, rank, core::cuda::current_stream());
    const kernels::LowRankProduct up{.inner = floats(inner),
                                     .b = b,
                                     .y = block,
                                     .rows = rows,
                                     .rank = rank,
                                     .out = slice.width(),
                                     .b_rank_stride = 1,
                                     .b_out_stride = rank,
                                     .y_stride = y.stride(0),
                                     .scale = scale};
    kernels::low_rank_add_cuda(up, 0, up.out, core::cuda::current_stream());
  }
}

at::Tensor without_gradient(const std::vector<PolicyRows>& policies, const at::Tensor& x, at::Tensor y) {
  const bool use_row_kernels = kernels_support(x) && kernels_support(y) && has_dense_rows(x) && has_dense_rows(y) &&
                               x.size(0) <= (x.is_cuda() ? kernels::kRowProductRowsCuda : kernels::kRowProductRows);
  for (const PolicyRows& policy : policies)
    for (const LoraSlice& slice : policy.slices) {
      if (use_row_kernels) add_to_rows(policy, slice, x, y);
      else policy.block(y, slice).add_(delta(x, policy, slice.low_rank));
    }
  return y;
}

// From libtorch's operations: for what is not in float32.
at::Tensor composed(const std::vector<PolicyRows>& policies, const at::Tensor& x, at::Tensor y) {
  for (const PolicyRows& policy : policies)
    for (const LoraSlice& slice : policy.slices) {
      const int64_t right = y.size(1) - slice.column - slice.width(), below = y.size(0) - policy.end;
      y = y + at::constant_pad_nd(delta(x, policy, slice.low_rank), {slice.column, right, policy.begin, below});
    }
  return y;
}

}  // namespace

at::Tensor adapted_product(const Config& config, const std::vector<const Adapter*>& adapters, const PackedBatch& batch, size_t layer,
                           const std::vector<Projection>& projections, const ProductInput& input, const at::Tensor& weight,
                           const at::Tensor& bias) {
  const std::vector<PolicyRows> policies = policy_rows_of(config, adapters, batch, layer, projections);
  const bool is_float = input.source.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat;
  if (!at::GradMode::is_enabled() || !is_float || !kernels_support_input(input)) {
    const at::Tensor x = value_of(input), y = project(x, weight, bias);
    if (policies.empty()) return y;
    return at::GradMode::is_enabled() ? composed(policies, x, y) : without_gradient(policies, x, y);
  }
  // What libtorch's own node keeps is needed anyway.
  if (policies.empty() && input.kind == ProductInput::kPlain) return project(input.source, weight, bias);
  variable_list low_ranks;
  for (const PolicyRows& policy : policies)
    for (const LoraSlice& slice : policy.slices) low_ranks.insert(low_ranks.end(), {slice.low_rank.a, slice.low_rank.b});
  const auto if_defined = [](const at::Tensor& x) { return x.defined() ? std::optional<at::Tensor>(x) : std::nullopt; };
  return AdaptedProduct::apply(input.source, weight, if_defined(bias), if_defined(input.norm_weight), at::TensorList(low_ranks), policies,
                               input);
}

}  // namespace magrpo::model
