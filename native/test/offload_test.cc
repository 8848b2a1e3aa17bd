// An optimizer whose moments and masters are on the host against one that has them on the device: the same bits, and less of the device.
#include <ATen/TensorOperators.h>
#include <unistd.h>

#include <filesystem>
#include <numeric>

#include "core/device.h"
#include "model/weights.h"
#include "software_cuda/table.h"
#include "test/devices.h"
#include "test/harness.h"
#include "test/ranks.h"
#include "test/saved_state.h"
#include "test/tiny_decoder.h"
#include "train/optimizer.h"

namespace magrpo::train {
namespace {

using distributed::Collectives;
using test::sources_of;

constexpr MomentKind kKinds[]{MomentKind::kFloat32, MomentKind::kBFloat16, MomentKind::kInt8};

// Layers of fused and plain matrices, norms, and a matrix whose second part begins anywhere.
struct Subject {
  at::Device device;
  at::ScalarType dtype;
  std::vector<at::Tensor> weights;
  Optimizer optimizer;

  Subject(const at::Device& device, at::ScalarType dtype) : device(device), dtype(dtype) {
    add("odd", {9, 643}, {4, 5});
    for (int layer = 0; layer < 6; ++layer) {
      add("norm", {176}, {176});
      add("stack", {96, 176}, {48, 24, 24});
      add("down", {40, 352}, {40});
    }
  }

  void add(const char* name, std::vector<int64_t> shape, std::vector<int64_t> rows) {
    const at::Tensor weight = test::random(shape, 10 + weights.size()).to(dtype).to(device);
    weights.push_back(weight);
    std::vector<model::NamedSlice> slices;
    int64_t row = 0;
    for (const int64_t count : rows) {
      slices.push_back({name + std::to_string(weights.size()) + "." + std::to_string(slices.size()), weight, row, count});
      row += count;
    }
    optimizer.add(slices);
  }

  void step(int number, MomentKind kind, Collectives* ranks = nullptr) {
    std::vector<at::Tensor> gradients;
    for (size_t i = 0; i < weights.size(); ++i) gradients.push_back(test::random(weights[i].sizes(), 1000 * number + i).to(device));
    optimizer.step(gradients, {.learning_rate = 0.01, .max_grad_norm = 1.0, .moments = kind});
    if (ranks != nullptr) optimizer.share_weights(*ranks);
  }

  std::vector<at::Tensor> state() {
    std::vector<at::Tensor> result;
    for (const auto& weight : weights) result.push_back(weight.cpu());
    for (const auto& slice : optimizer.slices()) result.push_back(slice.view().cpu().clone());
    return result;
  }
};

void expect_alike(const std::vector<at::Tensor>& actual, const std::vector<at::Tensor>& expected, const std::string& what) {
  EXPECT(actual.size() == expected.size(), what);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT(actual[i].equal(expected[i]), what, ": tensor ", i);
}

std::string name_of(MomentKind kind, at::ScalarType dtype) {
  return "moments " + std::to_string(static_cast<int>(kind)) + (dtype == at::kFloat ? "" : ", bfloat16 weights");
}

void expect_same_steps(const at::Device& device, at::ScalarType dtype, MomentKind kind) {
  const core::DeviceScope scope(device);
  const std::string what = name_of(kind, dtype);
  const std::string file = std::filesystem::temp_directory_path() / ("magrpo-offload-test-" + std::to_string(::getpid()));
  Subject plain(device, dtype), own(device, dtype), other(device, dtype);
  // A step before, one of another kind after, and tensors that are added in between.
  own.step(1, kind);
  own.optimizer.offload(true);
  for (const auto& slice : own.optimizer.slices()) EXPECT(slice.tensor.is_cpu() || slice.name == "step", what, ": ", slice.name);
  own.step(2, kind);
  own.add("late", {64, 96}, {64});
  own.step(3, kind);
  plain.step(1, kind);
  plain.step(2, kind);
  plain.add("late", {64, 96}, {64});
  plain.step(3, kind);
  const auto saved = plain.state();
  expect_alike(own.state(), saved, what);

  // What is saved is read into others, offloaded or not.
  model::write_tensors(file, "", own.optimizer.slices());
  other.optimizer.offload(true);
  other.add("late", {64, 96}, {64});
  for (size_t i = 0; i < other.weights.size(); ++i) other.weights[i].copy_(own.weights[i]);
  other.optimizer.weights_changed();
  other.optimizer.read(sources_of(own.optimizer, file), nullptr);
  expect_alike(other.state(), saved, what + ", read");
  std::filesystem::remove(file);

  const MomentKind next = kind == MomentKind::kInt8 ? MomentKind::kFloat32 : MomentKind::kInt8;
  for (Subject* each : {&plain, &own, &other}) each->step(4, next);
  own.optimizer.offload(false);
  for (Subject* each : {&plain, &own, &other}) each->step(5, next);
  expect_alike(own.state(), plain.state(), what + ", on the device again");
  expect_alike(other.state(), plain.state(), what + ", read and stepped");
}

TEST("device: offloaded optimizers come to the same bits, for moments and weights of each kind, saved and read") {
  for (const at::Device& device : test::cuda_devices())
    for (const auto dtype : {at::kFloat, at::kBFloat16})
      for (const auto kind : kKinds) expect_same_steps(device, dtype, kind);
}

TEST("device: copies of offloaded optimizers from pinned memory are in order") {
  const test::Switch pinned("MAGRPO_CUDA_PINNED"), streams("MAGRPO_CUDA_STREAMS");
  for (const at::Device& device : test::cuda_devices())
    for (const auto dtype : {at::kFloat, at::kBFloat16}) expect_same_steps(device, dtype, MomentKind::kInt8);
}

TEST("device: an offloaded optimizer takes two buffers of the device in place of moments and masters") {
  if (software_cuda::table() == nullptr) return;
  const at::Device device = test::cuda_devices().front();
  const core::DeviceScope scope(device);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto peak_of = [&](bool wanted) {
      const int64_t before = core::device_memory(device.str()).held_bytes;
      Subject subject(device, dtype);
      for (int i = 0; i < 12; ++i) subject.add("layer", {512, 512}, {512});
      subject.optimizer.offload(wanted);
      subject.step(1, MomentKind::kFloat32);
      software_cuda::table()->take_peak(device.index());
      subject.step(2, MomentKind::kFloat32);
      return std::pair(software_cuda::table()->take_peak(device.index()) - before, subject.optimizer.state_bytes());
    };
    const auto [plain_peak, plain_bytes] = peak_of(false);
    const auto [peak, bytes] = peak_of(true);
    EXPECT(bytes == plain_bytes);
    const int64_t buffers = 2 * 512 * 512 * (dtype == at::kFloat ? 8 : 12);
    const auto fall = static_cast<double>(plain_peak - peak);
    const auto expected = static_cast<double>(bytes - buffers);
    EXPECT(std::abs(fall / expected - 1.0) < 0.05, "fell by ", fall, ", expected ", expected);
  }
}

TEST("device: an optimizer that is spread over ranks is offloaded too") {
  if (software_cuda::table() == nullptr) return;
  const at::Device device = test::cuda_devices().front();
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    for (const auto kind : kKinds) {
      const std::string what = name_of(kind, dtype);
      const core::DeviceScope here(device);
      Subject whole(device, dtype);
      for (int t = 1; t <= 3; ++t) whole.step(t, kind);
      const auto expected = whole.state();
      test::with_ranks(2, [&](Collectives& ranks) {
        const core::DeviceScope scope(device);
        Subject own(device, dtype);
        own.step(1, kind);
        own.optimizer.offload(true);
        own.optimizer.spread(ranks, true);
        for (int t = 2; t <= 3; ++t) own.step(t, kind, &ranks);
        own.optimizer.spread(ranks, false);
        expect_alike(own.state(), expected, what);
      });
    }
}

}  // namespace
}  // namespace magrpo::train
