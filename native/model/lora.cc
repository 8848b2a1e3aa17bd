#include "model/lora.h"

#include <ATen/TensorOperators.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "core/device_cuda.h"
#include "core/errors.h"
#include "kernels/row_product.h"
#include "model/rows.h"

namespace magrpo::model {
namespace {

int64_t input_size(const Config& config, Projection projection) {
  if (projection == kOutput) return config.q_size();
  return projection == kDown ? config.intermediate_size : config.hidden_size;
}

const char* block_of(int projection) { return projection <= kOutput ? "self_attn" : "mlp"; }

// Adds scale · (x Aᵀ) Bᵀ to `y`'s columns from `column` on, by the kernel of few rows.
void add_to_rows(const LowRank& low_rank, double scale, const at::Tensor& x, at::Tensor& y, const PolicyRange& range, int64_t column) {
  const int64_t rows = range.end - range.begin, rank = low_rank.a.size(0), width = low_rank.b.size(0);
  const at::Tensor inner = at::empty({rows, rank}, x.options());
  const kernels::RowProduct down{.x = x.const_data_ptr<float>() + range.begin * x.stride(0),
                                 .weight = low_rank.a.const_data_ptr(),
                                 .bias = nullptr,
                                 .y = inner.mutable_data_ptr<float>(),
                                 .rows = rows,
                                 .in = x.size(1),
                                 .out = rank,
                                 .x_stride = x.stride(0),
                                 .y_stride = rank};
  const kernels::RowProduct up{.x = inner.const_data_ptr<float>(),
                               .weight = low_rank.b.const_data_ptr(),
                               .bias = nullptr,
                               .y = y.mutable_data_ptr<float>() + range.begin * y.stride(0) + column,
                               .rows = rows,
                               .in = rank,
                               .out = width,
                               .x_stride = rank,
                               .y_stride = y.stride(0),
                               .scale = static_cast<float>(scale),
                               .adds = true};
  if (!x.is_cuda()) {
    kernels::row_product(down, 0, rank);
    kernels::row_product(up, 0, width);
  } else if constexpr (kHasCuda) {
    kernels::row_product_cuda(down, 0, rank, cuda::current_stream());
    kernels::row_product_cuda(up, 0, width, cuda::current_stream());
  }
}

}  // namespace

int64_t output_size(const Config& config, Projection projection) {
  switch (projection) {
    case kQuery: return config.q_size();
    case kKey:
    case kValue: return config.kv_size();
    case kGate:
    case kUp: return config.intermediate_size;
    default: return config.hidden_size;
  }
}

Adapter make_adapter(const Config& config, int64_t rank, double scale, const std::vector<std::string>& targets, uint64_t seed,
                     const at::Device& device) {
  check_argument(rank > 0, "Expected a positive adapter rank but received ", rank, ".");
  check_argument(!targets.empty(), "Expected at least one target module for the adapter but received none.");
  for (const auto& target : targets)
    if (std::find(kProjectionNames.begin(), kProjectionNames.end(), target) == kProjectionNames.end())
      throw Error("ERR_ADAPTER", concat("Expected target modules among q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, "
                                        "down_proj but received \"", target, "\"."));
  at::Generator generator = at::detail::createCPUGenerator(seed);
  Adapter adapter;
  adapter.scale = scale;
  adapter.layers.resize(static_cast<size_t>(config.num_layers));
  for (auto& layer : adapter.layers)
    for (int p = 0; p < kProjections; ++p) {
      if (std::find(targets.begin(), targets.end(), kProjectionNames[p]) == targets.end()) continue;
      const auto projection = static_cast<Projection>(p);
      const int64_t in = input_size(config, projection);
      const double bound = 1.0 / std::sqrt(static_cast<double>(in));
      layer[p].a = at::empty({rank, in}, at::kFloat).uniform_(-bound, bound, generator).to(device);
      layer[p].b = at::zeros({output_size(config, projection), rank}, at::TensorOptions().dtype(at::kFloat).device(device));
    }
  return adapter;
}

std::vector<NamedSlice> named_slices(const Adapter& adapter) {
  std::vector<NamedSlice> slices;
  for (size_t i = 0; i < adapter.layers.size(); ++i)
    for (int p = 0; p < kProjections; ++p) {
      const LowRank& low_rank = adapter.layers[i][p];
      if (!low_rank.a.defined()) continue;
      const std::string prefix = concat("base_model.model.model.layers.", i, ".", block_of(p), ".", kProjectionNames[p]);
      slices.push_back({prefix + ".lora_A.weight", low_rank.a, 0, low_rank.a.size(0)});
      slices.push_back({prefix + ".lora_B.weight", low_rank.b, 0, low_rank.b.size(0)});
    }
  return slices;
}

at::Tensor add_adapters(const Config& config, const std::vector<const Adapter*>& adapters, const PackedBatch& batch, size_t layer,
                        const std::vector<Projection>& projections, const at::Tensor& x, at::Tensor y) {
  const auto has_any = [&](const PolicyRange& range) {
    if (range.policy < 0 || adapters[range.policy] == nullptr) return false;
    return std::any_of(projections.begin(), projections.end(),
                       [&](Projection p) { return adapters[range.policy]->layers[layer][p].a.defined(); });
  };
  if (std::none_of(batch.policies.begin(), batch.policies.end(), has_any)) return y;

  const auto delta = [&](const PolicyRange& range, const LowRank& low_rank) {
    const at::Tensor rows = x.narrow(0, range.begin, range.end - range.begin).to(at::kFloat);
    return at::linear(at::linear(rows, low_rank.a), low_rank.b).mul(adapters[range.policy]->scale).to(y.scalar_type());
  };
  if (!at::GradMode::is_enabled()) {
    const bool takes_rows = takes_kernels(x) && takes_kernels(y) && has_dense_rows(x) && has_dense_rows(y) &&
                            x.size(0) <= (x.is_cuda() ? kernels::kRowProductRowsCuda : kernels::kRowProductRows);
    for (const auto& range : batch.policies) {
      if (!has_any(range)) continue;
      int64_t column = 0;
      for (const Projection p : projections) {
        const int64_t width = output_size(config, p);
        const LowRank& low_rank = adapters[range.policy]->layers[layer][p];
        if (low_rank.a.defined() && takes_rows)
          add_to_rows(low_rank, adapters[range.policy]->scale, x, y, range, column);
        else if (low_rank.a.defined())
          y.narrow(0, range.begin, range.end - range.begin).narrow(1, column, width).add_(delta(range, low_rank));
        column += width;
      }
    }
    return y;
  }
  std::vector<at::Tensor> bands;
  for (const auto& range : batch.policies) {
    std::vector<at::Tensor> parts;
    for (const Projection p : projections) {
      const int64_t width = output_size(config, p);
      const bool adapted = has_any(range) && adapters[range.policy]->layers[layer][p].a.defined();
      parts.push_back(adapted ? delta(range, adapters[range.policy]->layers[layer][p])
                              : at::zeros({range.end - range.begin, width}, y.options()));
    }
    bands.push_back(parts.size() == 1 ? parts.front() : at::cat(parts, 1));
  }
  return y + (bands.size() == 1 ? bands.front() : at::cat(bands, 0));
}

}  // namespace magrpo::model
