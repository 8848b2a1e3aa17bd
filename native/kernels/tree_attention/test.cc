// Tree attention: kernels and plain reference against loops in double, then as the differentiable operation of the model.
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <array>
#include <vector>

#include "check/attention_inputs.h"
#include "check/tensors.h"
#include "kernels/tree_attention/plan.h"
#include "kernels/tree_attention/reference.h"
#include "kernels/tree_attention/tree_attention.h"
#include "model/attention.h"
#include "test/harness.h"
#include "test/kernel_versions.h"
#include "test/tiny_decoder.h"

namespace magrpo::kernels {
namespace {

using test::kVersions;
using test::largest_difference;
using test::name_of;
using test::random;
using test::Version;

using Case = check::AttentionCase;
using Inputs = check::AttentionInputs;
using Forward = check::AttentionForward;
using check::attention_cases;
using check::long_cache_case;
using check::long_case;
using check::tree_case;
using Gradients = check::AttentionBackward;

// A version of the kernel over all spans and heads. Outputs start as NaN: every row has to be written.
Forward run_forward(Version version, const Case& c, const Inputs& in) {
  if (version == Version::kCpu) return check::attention_forward_cpu(c, in);
  const Forward result{check::unwritten({c.queries, c.heads * c.dim}), check::unwritten({c.queries, c.heads})};
  const AttentionPointers data{check::in(in.q), check::in(in.k), check::in(in.v), check::out(result.out), check::out(result.lse)};
  const AttentionPlan plan = make_attention_plan(in.shape, c.spans, c.ranges, c.groups.empty());
  std::vector<float> partials(static_cast<size_t>(plan.partial_floats), NAN);
  tree_attention_forward_cuda(in.shape, data, plan.view(plan.words.data()), partials.data(), nullptr);
  return result;
}

Gradients run_backward(Version version, const Case& c, const Inputs& in, const Forward& forward, const at::Tensor& d_out) {
  if (version == Version::kCpu) return check::attention_backward_cpu(c, in, forward, d_out);
  const Gradients result{check::unwritten({c.queries, c.heads * c.dim}), at::zeros({c.slots, c.kv_heads * c.dim}, at::kFloat),
                         at::zeros({c.slots, c.kv_heads * c.dim}, at::kFloat)};
  const AttentionPointers data{check::in(in.q), check::in(in.k), check::in(in.v), check::out(forward.out), check::out(forward.lse)};
  const AttentionGradients gradients{check::in(d_out), check::out(result.d_q), check::out(result.d_k), check::out(result.d_v)};
  const AttentionPlan plan = make_attention_plan(in.shape, c.spans, c.ranges, false);
  std::vector<float> delta(static_cast<size_t>(c.queries * c.heads), NAN);
  tree_attention_backward_cuda(in.shape, data, gradients, plan.view(plan.words.data()), c.queries, delta.data(), nullptr);
  return result;
}

// Attention and log of the softmax's sum by loops over every query, head and key, in double.
Forward naive_forward(const Case& c, const Inputs& in) {
  Forward result{at::zeros({c.queries, c.heads * c.dim}, at::kDouble), at::zeros({c.queries, c.heads}, at::kDouble)};
  const auto q = in.q.accessor<float, 2>(), k = in.k.accessor<float, 2>(), v = in.v.accessor<float, 2>();
  auto out = result.out.accessor<double, 2>(), lse = result.lse.accessor<double, 2>();
  for (const auto& span : c.spans)
    for (int64_t i = 0; i < span.length; ++i)
      for (int64_t h = 0; h < c.heads; ++h) {
        const int64_t kv = h / (c.heads / c.kv_heads), row = span.begin + i, position = span.position + i;
        double total = 0.0;
        std::vector<double> sums(static_cast<size_t>(c.dim), 0.0);
        for (int64_t r = span.range_begin; r < span.range_end; ++r)
          for (int64_t j = 0; j < c.ranges[r].length; ++j) {
            const int64_t at = c.ranges[r].position + j, slot = c.ranges[r].begin + j;
            if (at > position || (c.window > 0 && position - at >= c.window)) continue;
            double score = 0.0;
            for (int64_t d = 0; d < c.dim; ++d) score += static_cast<double>(q[row][h * c.dim + d]) * k[slot][kv * c.dim + d];
            const double e = std::exp(score / std::sqrt(static_cast<double>(c.dim)));
            total += e;
            for (int64_t d = 0; d < c.dim; ++d) sums[d] += e * v[slot][kv * c.dim + d];
          }
        for (int64_t d = 0; d < c.dim; ++d) out[row][h * c.dim + d] = sums[d] / total;
        lse[row][h] = std::log(total);
      }
  return result;
}

TEST("attention: every version and the reference give what loops in double give") {
  for (const auto& c : attention_cases()) {
    const Inputs in(c);
    const Forward naive = naive_forward(c, in);
    const auto reference = [&](at::ScalarType type) {
      return tree_attention_reference(in.shape, in.q.to(type), in.k.to(type), in.v.to(type), c.spans, c.ranges);
    };
    // The scale is a float32.
    EXPECT(largest_difference(reference(at::kDouble), naive.out) < 1e-6, c.name);
    for (const Version version : kVersions) {
      const Forward kernel = run_forward(version, c, in);
      EXPECT(largest_difference(kernel.out, naive.out) < 5e-6, c.name, ", ", name_of(version));
      EXPECT(largest_difference(kernel.lse, naive.lse) < 5e-6, c.name, ", ", name_of(version));
      EXPECT(largest_difference(reference(at::kFloat), kernel.out) < 1e-5, c.name, ", ", name_of(version));
    }
  }
}

TEST("attention: gradients of every version are those of the reference in double") {
  for (const auto& c : attention_cases()) {
    if (c.groups.empty()) continue;
    const Inputs in(c);
    const at::Tensor d_out = random({c.queries, c.heads * c.dim}, 4);
    const auto leaf = [](const at::Tensor& x) { return x.to(at::kDouble).contiguous().set_requires_grad(true); };
    const at::Tensor q = leaf(in.q), k = leaf(in.k), v = leaf(in.v);
    (tree_attention_reference(in.shape, q, k, v, c.spans, c.ranges) * d_out).sum().backward();
    for (const Version version : kVersions) {
      const auto [d_q, d_k, d_v] = run_backward(version, c, in, run_forward(version, c, in), d_out);
      EXPECT(largest_difference(d_q, q.grad()) < 1e-5, c.name, ", ", name_of(version));
      EXPECT(largest_difference(d_k, k.grad()) < 2e-5, c.name, ", ", name_of(version));
      EXPECT(largest_difference(d_v, v.grad()) < 2e-5, c.name, ", ", name_of(version));
    }
  }
}

TEST("attention: a row does not depend on what else is in the batch") {
  for (const auto& c : attention_cases()) {
    if (!c.groups.empty()) continue;
    const Inputs in(c);
    for (const Version version : kVersions) {
      const Forward together = run_forward(version, c, in);
      for (const auto& span : c.spans) {
        Case alone = c;
        alone.spans = {span};
        const at::Tensor row = run_forward(version, alone, in).out.narrow(0, span.begin, span.length);
        EXPECT(row.equal(together.out.narrow(0, span.begin, span.length)), c.name, ", ", name_of(version), ", span at ", span.begin);
      }
    }
  }
}

// Five rows behind a prompt of 41 and, four of them, a second shared range of 9; their tails of 1 to 50 keys; one alone in its text.
Case rows_case(const char* name, int64_t heads, int64_t kv_heads, int64_t dim, int64_t window, int64_t padding) {
  return {name,
          heads,
          kv_heads,
          dim,
          window,
          6,
          190,
          padding,
          {{0, 1, 50, 0, 3}, {1, 1, 99, 3, 6}, {2, 1, 66, 6, 9}, {3, 1, 51, 9, 12}, {4, 1, 43, 12, 14}, {5, 1, 4, 14, 15}},
          {{0, 41, 0},
           {41, 9, 41},
           {50, 1, 50},
           {0, 41, 0},
           {41, 9, 41},
           {60, 50, 50},
           {0, 41, 0},
           {41, 9, 41},
           {110, 17, 50},
           {0, 41, 0},
           {41, 9, 41},
           {130, 2, 50},
           {0, 41, 0},
           {140, 3, 41},
           {150, 5, 0}},
          {}};
}

// Spans [begin, end) by the kernel that takes them together, KV heads [kv_begin, kv_end) at once.
void run_rows(const Case& c, const Inputs& in, const Forward& to, int64_t begin, int64_t end, int64_t kv_begin, int64_t kv_end) {
  const AttentionPointers data{in.q.const_data_ptr<float>(), in.k.const_data_ptr<float>(), in.v.const_data_ptr<float>(),
                               to.out.mutable_data_ptr<float>(), to.lse.mutable_data_ptr<float>()};
  const int64_t context = longest_context(c.spans.data() + begin, end - begin);
  std::vector<float> scratch(static_cast<size_t>(rows_scratch(in.shape, end - begin, kv_end - kv_begin, context)), NAN);
  tree_attention_rows(in.shape, data, c.spans.data(), c.ranges.data(), begin, end, kv_begin, kv_end, scratch.data());
}

TEST("attention: rows taken together, all heads at once, are what loops in double give and what each alone is, bit for bit") {
  for (const auto& [heads, kv_heads] : {std::pair<int64_t, int64_t>{1, 1}, {4, 4}, {8, 4}, {6, 2}, {5, 1}})
    for (const int64_t dim : {5, 16, 40, 64, 130})
      for (const int64_t window : {0, 1, 12, 60}) {
        const Case c = rows_case("rows", heads, kv_heads, dim, window, 3);
        const Inputs in(c);
        const Forward naive = naive_forward(c, in);
        const Forward together{at::full({c.queries, heads * dim}, NAN, at::kFloat), at::full({c.queries, heads}, NAN, at::kFloat)};
        const Forward alone{at::full_like(together.out, NAN), at::full_like(together.lse, NAN)};
        run_rows(c, in, together, 0, 5, 0, kv_heads);
        run_rows(c, in, together, 5, 6, 0, kv_heads);
        for (int64_t row = 0; row < c.queries; ++row)
          for (int64_t kv = 0; kv < kv_heads; ++kv) run_rows(c, in, alone, row, row + 1, kv, kv + 1);
        EXPECT(largest_difference(together.out, naive.out) < 5e-6, heads, " heads, ", dim, " wide, window ", window);
        EXPECT(largest_difference(together.lse, naive.lse) < 5e-6, heads, " heads, ", dim, " wide, window ", window);
        EXPECT(together.out.equal(alone.out) && together.lse.equal(alone.lse), heads, " heads, ", dim, " wide, window ", window);
        for (const Version version : kVersions) {
          const Forward other = run_forward(version, c, in);
          EXPECT(largest_difference(other.out, naive.out) < 5e-6, heads, " heads, ", dim, " wide, window ", window, ", ", name_of(version));
          EXPECT(largest_difference(other.lse, naive.lse) < 5e-6, heads, " heads, ", dim, " wide, window ", window, ", ", name_of(version));
        }
      }
}

// Values, keys and queries of a model are slices of one product: gradients have to reach it, whatever the threads.
TEST("attention: the model's operation is differentiable and the same on one thread and two") {
  const Case c = tree_case("model", 4, 2, 16, 6);
  model::Config config;
  config.num_heads = c.heads;
  config.num_kv_heads = c.kv_heads;
  config.head_dim = c.dim;
  config.sliding_windows = {0, c.window};
  model::PackedBatch batch;
  batch.spans = c.spans;
  batch.ranges = c.ranges;
  batch.groups = c.groups;
  const at::Tensor d_out = random({c.queries, config.q_size()}, 6);
  const auto split = [&](const at::Tensor& qkv) {
    return std::array<at::Tensor, 3>{qkv.narrow(1, 0, config.q_size()), qkv.narrow(1, config.q_size(), config.kv_size()),
                                     qkv.narrow(1, config.q_size() + config.kv_size(), config.kv_size())};
  };
  for (const int64_t layer : {0, 1}) {
    std::vector<at::Tensor> outputs, gradients;
    for (const int threads : {1, 2}) {
      at::set_num_threads(threads);
      const at::Tensor qkv = random({c.queries, config.qkv_size()}, 5).set_requires_grad(true);
      const auto [q, k, v] = split(qkv);
      const at::Tensor out = model::tree_attention(config, layer, q, k, v, batch);
      (out * d_out).sum().backward();
      outputs.push_back(out.detach());
      gradients.push_back(qkv.grad());
      at::NoGradGuard no_grad;
      EXPECT(model::tree_attention(config, layer, q, k, v, batch).equal(outputs.back()), "without a graph");
    }
    at::set_num_threads(1);
    EXPECT(outputs[0].equal(outputs[1]) && gradients[0].equal(gradients[1]), "layer ", layer);

    const AttentionShape shape{c.heads, c.kv_heads, c.dim, config.sliding_windows[layer], 0.25f, 0, 0, 0};
    const at::Tensor qkv = random({c.queries, config.qkv_size()}, 5).to(at::kDouble).set_requires_grad(true);
    const auto [q, k, v] = split(qkv);
    const at::Tensor out = tree_attention_reference(shape, q, k, v, c.spans, c.ranges);
    (out * d_out).sum().backward();
    EXPECT(largest_difference(outputs[0], out) < 5e-6, "layer ", layer);
    EXPECT(largest_difference(gradients[0], qkv.grad()) < 2e-5, "layer ", layer);
  }
}

TEST("attention: bfloat16 comes back as bfloat16, computed in float32") {
  const Case c = tree_case("bfloat16", 2, 1, 8, 0);
  const Inputs in(c);
  model::Config config;
  config.num_heads = 2;
  config.num_kv_heads = 1;
  config.head_dim = 8;
  config.sliding_windows = {0};
  model::PackedBatch batch;
  batch.spans = c.spans;
  batch.ranges = c.ranges;
  batch.groups = c.groups;
  const auto half = [](const at::Tensor& x) { return x.to(at::kBFloat16); };
  const at::Tensor out = model::tree_attention(config, 0, half(in.q), half(in.k), half(in.v), batch);
  EXPECT(out.scalar_type() == at::kBFloat16);
  const auto rounded = [&](const at::Tensor& x) { return half(x).to(at::kFloat); };
  EXPECT(out.equal(half(model::tree_attention(config, 0, rounded(in.q), rounded(in.k), rounded(in.v), batch))));
}

}  // namespace
}  // namespace magrpo::kernels
