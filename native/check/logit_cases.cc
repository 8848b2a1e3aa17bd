// Rows of logits: log-probs, entropies, their gradients, a sampler's shape; and drawing tokens.
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <cmath>
#include <limits>

#include "check/kernel_check.h"
#include "check/tensors.h"
#include "core/device_cuda.h"
#include "core/errors.h"
#include "core/random.h"
#include "kernels/logit_rows/logit_rows.h"
#include "kernels/sample/sample.h"

namespace magrpo::check {
namespace {

using core::concat;
using core::cuda::current_stream;

constexpr int64_t kRows = 3;

// (kRows, n) logits, one of them -inf.
at::Tensor logits_of(int64_t n) {
  at::Tensor logits = random({kRows, n}, static_cast<uint64_t>(n)) * 6.0;
  if (n > 7) logits.narrow(0, 0, 1).narrow(1, 3, 1).fill_(-std::numeric_limits<float>::infinity());
  return logits;
}

Outputs read_and_gradients(int64_t n, bool has_entropy, const at::Device& device) {
  const at::Tensor logits = logits_of(n).to(device);
  const at::Tensor targets = at::tensor(std::vector<int64_t>{0, n / 2, n - 1}).to(device),
                   d_log_probs = at::tensor(std::vector<float>{-1.7f, 0.0f, 2.0f}).to(device),
                   d_entropies = at::tensor(std::vector<float>{0.4f, -0.3f, 0.0f}).to(device);
  const at::Tensor log_probs = unwritten({kRows}, device), log_sums = unwritten({kRows}, device), entropies = unwritten({kRows}, device);
  const int64_t* target = targets.const_data_ptr<int64_t>();
  if (device.is_cuda()) {
    kernels::read_logits_cuda(in(logits), kRows, n, target, out(log_probs), out(log_sums), out(entropies), current_stream());
    kernels::logit_gradients_cuda(out(logits), kRows, n, target, in(log_sums), in(entropies), in(d_log_probs),
                                  has_entropy ? in(d_entropies) : nullptr, current_stream());
  } else {
    for (int64_t r = 0; r < kRows; ++r) {
      float* row = out(logits) + r * n;
      const auto [highest, sum, weighted] = kernels::logit_moments(row, n);
      out(log_sums)[r] = static_cast<float>(highest + std::log(sum));
      out(entropies)[r] = static_cast<float>(std::log(sum) - weighted / sum);
      out(log_probs)[r] = static_cast<float>(row[target[r]] - highest - std::log(sum));
      kernels::logit_gradient(row, n,
                              {in(log_sums)[r], in(entropies)[r], in(d_log_probs)[r], has_entropy ? in(d_entropies)[r] : 0.0f, target[r]});
    }
  }
  return {{"log_probs", log_probs}, {"log_sums", log_sums}, {"entropies", entropies}, {"d_logits", logits}};
}

Outputs shaped(int64_t n, bool is_marked, const kernels::LogitShape& shape, const at::Device& device) {
  const at::Tensor logits = (random({kRows, n}, 5) * 4.0).to(device), gradients = random({kRows, n}, 9).to(device);
  at::Tensor given = at::empty({kRows, n}, at::kByte);
  for (int64_t i = 0; i < kRows * n; ++i)
    given.mutable_data_ptr<uint8_t>()[i] = i % 3 == 0 ? kernels::kSeen : i % 5 == 1 ? kernels::kCut : 0;
  const at::Tensor marks = given.to(device);
  uint8_t* bits = is_marked ? marks.mutable_data_ptr<uint8_t>() : nullptr;
  if (device.is_cuda()) {
    kernels::shape_logits_cuda(out(logits), kRows, n, shape, bits, current_stream());
    if (is_marked) kernels::mark_negative_cuda(in(logits), kRows, n, bits, current_stream());
    kernels::unshape_gradients_cuda(out(gradients), kRows, n, shape, bits, current_stream());
  } else {
    kernels::shape_logits(out(logits), kRows * n, shape, bits);
    if (is_marked) kernels::mark_negative(in(logits), kRows * n, bits);
    kernels::unshape_gradient(out(gradients), kRows * n, shape, bits);
  }
  return {{"logits", logits}, {"d_logits", gradients}, {"marks", marks}};
}

// Logits whose cumulative distribution has no two steps within rounding of one another at the uniforms used.
Outputs drawn(int64_t vocab, double inverse_temperature, bool wants_tokens, const at::Device& device) {
  const std::vector<double> given{0.0, 0.25, 0.5, 0.75, 0.93, 0.999};
  const int64_t rows = static_cast<int64_t>(given.size()), stride = vocab + 3;
  at::Tensor spread = unwritten({rows, stride});
  const core::RandomStream stream{7, 1, 2, 3, 4};
  for (int64_t i = 0; i < rows * vocab; ++i)
    out(spread)[i / vocab * stride + i % vocab] = static_cast<float>(12.0 * stream.uniform(static_cast<uint32_t>(i)) - 6.0);
  const at::Tensor logits = spread.to(device), uniforms = at::tensor(given, at::kDouble).to(device),
                   tokens = at::full({rows}, -1, at::TensorOptions(at::kInt).device(device));
  const at::Tensor log_probs = unwritten({rows}, device), entropies = unwritten({rows}, device),
                   model_log_probs = unwritten({rows}, device), model_entropies = unwritten({rows}, device);
  const kernels::SampleRows sample{in(logits),
                                   uniforms.const_data_ptr<double>(),
                                   tokens.mutable_data_ptr<int32_t>(),
                                   out(log_probs),
                                   out(entropies),
                                   out(model_log_probs),
                                   out(model_entropies),
                                   rows,
                                   vocab,
                                   stride,
                                   inverse_temperature};
  if (device.is_cuda()) kernels::sample_rows_cuda(sample, current_stream());
  else kernels::sample_rows(sample, 0, rows);
  if (wants_tokens) return {{"tokens", tokens}};
  return {{"log_probs", log_probs}, {"entropies", entropies}, {"model_log_probs", model_log_probs}, {"model_entropies", model_entropies}};
}

}  // namespace

void add_logit_cases(std::vector<KernelCase>& cases, bool quick) {
  using Sizes = std::vector<int64_t>;
  for (const int64_t n : quick ? Sizes{7, 1025} : Sizes{1, 7, 300, 513, 1025, 3000, 32000})
    for (const bool has_entropy : {false, true})
      cases.push_back({"log-probs and gradients", concat(kRows, " x ", n, has_entropy ? ", entropy" : ""), "float32", 1e-5,
                       [=](const at::Device& device) { return read_and_gradients(n, has_entropy, device); }});
  for (const int64_t n : quick ? Sizes{7, 1025} : Sizes{1, 7, 300, 1025, 32000})
    for (const bool is_marked : {false, true})
      for (const kernels::LogitShape& shape : {kernels::LogitShape{1.0f / 0.7f, 1.0f}, {1.0f, 1.3f}, {0.5f, 0.8f}})
        cases.push_back({"shape of logits", concat(kRows, " x ", n, is_marked ? ", filters" : ""), "float32", 2e-6,
                         [=](const at::Device& device) { return shaped(n, is_marked, shape, device); }});
  for (const int64_t vocab : quick ? Sizes{5, 1000} : Sizes{1, 5, 300, 1000, 5000})
    for (const double inverse : {0.0, 0.3, 1.0, 2.0})
      for (const bool wants_tokens : {true, false})
        cases.push_back({wants_tokens ? "sampling, tokens" : "sampling, log-probs",
                         concat("6 x ", vocab, ", ", inverse == 0.0 ? std::string("greedy") : concat("temperature ", 1.0 / inverse)),
                         "float32", wants_tokens ? 0.0 : 1e-5,
                         [=](const at::Device& device) { return drawn(vocab, inverse, wants_tokens, device); }});
}

}  // namespace magrpo::check
