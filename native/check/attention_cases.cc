// Tree attention: trees with gradients, and caches as decoding has them.
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include "check/attention_inputs.h"
#include "check/kernel_check.h"
#include "check/sizes.h"
#include "check/tensors.h"
#include "core/device_cuda.h"
#include "core/errors.h"
#include "kernels/tree_attention/plan.h"

namespace magrpo::check {
namespace {

using core::concat;

// Copies that keep the distance between rows.
at::Tensor strided_copy(const at::Tensor& x, const at::Device& device) {
  const at::Tensor whole = x.as_strided({x.size(0), x.stride(0)}, {x.stride(0), 1}, x.storage_offset());
  return whole.to(device).narrow(1, 0, x.size(1));
}

Outputs attended_on_device(const AttentionCase& c, const AttentionInputs& given, const at::Device& device) {
  const bool is_cache = c.groups.empty();
  const at::Tensor q = strided_copy(given.q, device), k = strided_copy(given.k, device), v = strided_copy(given.v, device);
  const kernels::AttentionPlan plan = kernels::make_attention_plan(given.shape, c.spans, c.ranges, is_cache);
  const at::Tensor words = at::from_blob(const_cast<int64_t*>(plan.words.data()), {static_cast<int64_t>(plan.words.size())}, at::kLong)
                               .to(device, /*non_blocking=*/false, /*copy=*/true);
  const kernels::AttentionPlanView view = plan.view(words.const_data_ptr<int64_t>());
  const at::Tensor partials = unwritten({plan.partial_floats}, device);
  const at::Tensor attended = unwritten({c.queries, c.heads * c.dim}, device), lse = unwritten({c.queries, c.heads}, device);
  const kernels::AttentionPointers data{in(q), in(k), in(v), out(attended), out(lse)};
  kernels::tree_attention_forward_cuda(given.shape, data, view, out(partials), core::cuda::current_stream());
  if (is_cache) return {{"out", attended}, {"lse", lse}};
  const at::Tensor d_out = random({c.queries, c.heads * c.dim}, 4).to(device), delta = unwritten({c.queries, c.heads}, device);
  const at::Tensor d_q = unwritten({c.queries, c.heads * c.dim}, device), d_k = at::zeros({c.slots, c.kv_heads * c.dim}, d_q.options()),
                   d_v = at::zeros({c.slots, c.kv_heads * c.dim}, d_q.options());
  kernels::tree_attention_backward_cuda(given.shape, data, {in(d_out), out(d_q), out(d_k), out(d_v)}, view, c.queries, out(delta),
                                        core::cuda::current_stream());
  return {{"out", attended}, {"lse", lse}, {"d_q", d_q}, {"d_k", d_k}, {"d_v", d_v}};
}

Outputs attended(const AttentionCase& c, const at::Device& device) {
  const AttentionInputs given(c);
  if (device.is_cuda()) return attended_on_device(c, given, device);
  const AttentionForward forward = attention_forward_cpu(c, given);
  if (c.groups.empty()) return {{"out", forward.out}, {"lse", forward.lse}};
  const AttentionBackward backward = attention_backward_cpu(c, given, forward, random({c.queries, c.heads * c.dim}, 4));
  return {{"out", forward.out}, {"lse", forward.lse}, {"d_q", backward.d_q}, {"d_k", backward.d_k}, {"d_v", backward.d_v}};
}

}  // namespace

void add_attention_cases(std::vector<KernelCase>& cases, bool quick) {
  const auto add = [&cases](const AttentionCase& c) {
    const std::string shape = concat("head size ", c.dim, ", ", c.heads, " over ", c.kv_heads, " heads, ", c.name);
    const char* kernel = c.groups.empty() ? "attention, decoding" : "attention, with gradients";
    cases.push_back(
        {kernel, shape, "float32", c.groups.empty() ? 1e-5 : 4e-5, [c](const at::Device& device) { return attended(c, device); }});
  };
  for (const auto& c : attention_cases()) add(c);
  for (const int64_t dim : head_sizes(quick)) {
    add(tree_case("tree", 4, 2, dim, 0));
    add(long_cache_case("long cache", dim, 0));
    // Twice as many keys and queries as a block holds: where one has a fence too few, the numbers are wrong here first.
    if (quick || dim % 16 == 0) {
      add(long_case("long text", 0, dim));
      add(long_case("long text with a window", 40, dim));
      add(long_cache_case("long cache with a window", dim, 100));
    }
  }
}

}  // namespace magrpo::check
