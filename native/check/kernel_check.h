// A device's kernels against the CPU's, one table of cases: for `magrpo doctor --check` and for the tests of devices.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace magrpo::check {

// What an operation wrote, by name.
using Outputs = std::vector<std::pair<std::string, at::Tensor>>;

struct KernelCase {
  std::string kernel;
  std::string shape;  // for people
  std::string dtype;  // of what differs between cases: inputs, or the weights of a product
  double bound;       // of the largest difference, which is relative for numbers above 1
  std::function<Outputs(const at::Device&)> run;  // on the CPU or on a CUDA device: the kernel that is there, on the same inputs
};

struct KernelResult {
  std::string kernel, shape, dtype;
  double difference = 0.0;  // the largest; NaN where one side alone has a NaN
  double bound = 0.0;
  bool passed = false;
  std::string where;  // of the largest difference, as "d_q[3, 17]"; or what was thrown
  double expected = 0.0, seen = 0.0;  // there
};

// All cases: every kernel, at every head size that kernels support. `quick`: a selection of sizes.
std::vector<KernelCase> kernel_cases(bool quick);

// The parts of the table, which kernel_cases joins.
void add_layer_cases(std::vector<KernelCase>& cases, bool quick);      // norms, rotations, gates, products
void add_attention_cases(std::vector<KernelCase>& cases, bool quick);  // tree attention
void add_logit_cases(std::vector<KernelCase>& cases, bool quick);      // rows of logits and sampling

// Runs a case on the CPU and on `device`. What a case throws is its result, so that one that fails does not hide the others.
KernelResult run_case(const KernelCase& kernel_case, const at::Device& device);

// The cases one by one, as a job runs them.
class KernelCheck {
 public:
  KernelCheck(const at::Device& device, bool quick) : device_(device), cases_(kernel_cases(quick)) {}

  // Runs some cases, for about a tenth of a second; returns whether all have run.
  bool advance();
  std::vector<KernelResult> take_result() { return std::move(results_); }

 private:
  at::Device device_;
  std::vector<KernelCase> cases_;
  std::vector<KernelResult> results_;
};

}  // namespace magrpo::check
