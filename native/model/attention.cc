#include "model/attention.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "core/floats.h"
#include "model/autograd.h"

namespace magrpo::model {
namespace {

kernels::AttentionShape shape_of(const Config& config, int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return {config.num_heads,         config.num_kv_heads, config.head_dim, config.sliding_windows[layer],
          config.attention_scale(), q.stride(0),         k.stride(0),     v.stride(0)};
}

// Float32 with unit inner stride, as the kernel reads it; a no-op for float32.
at::Tensor as_float(const at::Tensor& x) { return x.scalar_type() == at::kFloat ? x : x.to(at::kFloat); }

at::Tensor forward(const kernels::AttentionShape& shape, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                   const PackedBatch& batch, float* lse) {
  at::Tensor out = at::empty({q.size(0), shape.heads * shape.head_dim}, q.options());
  const kernels::AttentionPointers data{floats(q), floats(k), floats(v), mutable_floats(out), lse};
  if (q.is_cuda()) {
    if constexpr (core::kHasCuda) {
      const kernels::AttentionPlanView plan = batch.device->view();
      const at::Tensor partials = at::empty({plan.partial_floats}, q.options());
      kernels::tree_attention_forward_cuda(shape, data, plan, mutable_floats(partials), core::cuda::current_stream());
    }
    return out;
  }
  const int64_t spans = static_cast<int64_t>(batch.spans.size());
  const int64_t context = kernels::longest_context(batch.spans.data(), spans);
  // Head by head, as neighbouring spans share keys.
  at::parallel_for(0, spans * shape.kv_heads, 1, [&](int64_t begin, int64_t end) {
    core::Floats scratch(static_cast<size_t>(kernels::forward_scratch(shape, context)));
    for (int64_t task = begin, next; task < end; task = next) {
      const int64_t head = task / spans, first = task % spans;
      next = std::min(end, (head + 1) * spans);
      kernels::tree_attention_forward(shape, data, batch.spans.data(), batch.ranges.data(), first, first + next - task, head,
                                      scratch.data());
    }
  });
  return out;
}

class TreeAttention : public torch::autograd::Function<TreeAttention> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const kernels::AttentionShape& shape, const PackedBatch* batch) {
    at::Tensor lse = at::empty({q.size(0), shape.heads}, q.options());
    at::Tensor out = model::forward(shape, q, k, v, *batch, mutable_floats(lse));
    ctx->save_for_backward({q, k, v, out, lse});
    ctx->saved_data["batch"] = reinterpret_cast<int64_t>(batch);
    ctx->saved_data["heads"] = shape.heads;
    ctx->saved_data["kv_heads"] = shape.kv_heads;
    ctx->saved_data["window"] = shape.window;
    ctx->saved_data["scale"] = static_cast<double>(shape.scale);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &out = saved[3], &lse = saved[4];
    // The batch outlives the graph: train/pass.cc keeps it until backward is done.
    const auto& batch = *reinterpret_cast<const PackedBatch*>(ctx->saved_data["batch"].toInt());
    const int64_t heads = ctx->saved_data["heads"].toInt();
    const int64_t dim = q.size(1) / heads;
    const kernels::AttentionShape shape{heads,
                                        ctx->saved_data["kv_heads"].toInt(),
                                        dim,
                                        ctx->saved_data["window"].toInt(),
                                        static_cast<float>(ctx->saved_data["scale"].toDouble()),
                                        q.stride(0),
                                        k.stride(0),
                                        v.stride(0)};
    const at::Tensor d_out = gradients[0].contiguous();
    at::Tensor d_q = at::empty({q.size(0), q.size(1)}, q.options());
    at::Tensor d_k = at::zeros({k.size(0), k.size(1)}, k.options());
    at::Tensor d_v = at::zeros({v.size(0), v.size(1)}, v.options());
    const kernels::AttentionPointers data{floats(q), floats(k), floats(v), const_cast<float*>(floats(out)),
                                          const_cast<float*>(floats(lse))};
    const kernels::AttentionGradients grads{floats(d_out), mutable_floats(d_q), mutable_floats(d_k), mutable_floats(d_v)};
    if (q.is_cuda()) {
      if constexpr (core::kHasCuda) {
        const at::Tensor delta = at::empty({q.size(0), heads}, q.options());
        kernels::tree_attention_backward_cuda(shape, data, grads, batch.device->view(), q.size(0), mutable_floats(delta),
                                              core::cuda::current_stream());
      }
      return {d_q, d_k, d_v, at::Tensor(), at::Tensor()};
    }
    const int64_t groups = static_cast<int64_t>(batch.groups.size());
    const int64_t context = kernels::longest_context(batch.spans.data(), static_cast<int64_t>(batch.spans.size()));
    at::parallel_for(0, groups * shape.kv_heads, 1, [&](int64_t begin, int64_t end) {
      core::Floats scratch(static_cast<size_t>(kernels::backward_scratch(shape, context)));
      for (int64_t task = begin; task < end; ++task) {
        const auto& group = batch.groups[task / shape.kv_heads];
        kernels::tree_attention_backward(shape, data, grads, batch.spans.data(), batch.ranges.data(), group.begin, group.end,
                                         task % shape.kv_heads, scratch.data());
      }
    });
    return {d_q, d_k, d_v, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor tree_attention(const Config& config, int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const PackedBatch& batch) {
  const at::Tensor q32 = as_float(q), k32 = as_float(k), v32 = as_float(v);
  const auto shape = shape_of(config, layer, q32, k32, v32);
  const at::Tensor out =
      wants_gradient(q) ? TreeAttention::apply(q32, k32, v32, shape, &batch) : forward(shape, q32, k32, v32, batch, nullptr);
  return out.to(q.scalar_type());
}

}  // namespace magrpo::model
