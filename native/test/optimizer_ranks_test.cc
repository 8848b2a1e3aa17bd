// An optimizer that is spread over ranks against one that is not: the same bits in weights and in what is saved, and a share of the bytes.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "model/weights.h"
#include "test/harness.h"
#include "test/ranks.h"
#include "test/saved_state.h"
#include "test/tiny_decoder.h"
#include "train/optimizer.h"

namespace magrpo::train {
namespace {

using distributed::Collectives;
using test::random;
using test::sources_of;

constexpr MomentKind kKinds[]{MomentKind::kFloat32, MomentKind::kBFloat16, MomentKind::kInt8};

// Weights as a policy has them: matrices that are cut, some of several parts; small ones; and one whose parts begin anywhere.
struct Subject {
  std::vector<at::Tensor> weights;
  Optimizer optimizer;

  explicit Subject(at::ScalarType dtype) {
    const auto add = [&](const char* name, std::vector<int64_t> shape, std::vector<int64_t> rows) {
      const at::Tensor weight = random(shape, 10 + weights.size()).to(dtype);
      weights.push_back(weight);
      std::vector<model::NamedSlice> slices;
      int64_t row = 0;
      for (const int64_t count : rows) {
        slices.push_back({name + std::to_string(slices.size()), weight, row, count});
        row += count;
      }
      optimizer.add(slices);
    };
    add("embedding", {61, 176}, {61});
    add("norm", {176}, {176});
    add("stack", {96, 176}, {48, 24, 24});
    add("odd", {9, 643}, {4, 5});
    add("bias", {7}, {7});
    add("head", {40, 352}, {40});
  }

  void step(int number, MomentKind kind, Collectives* ranks) {
    StepOptions options;
    options.learning_rate = 0.01;
    options.max_grad_norm = 1.0;
    options.moments = kind;
    std::vector<at::Tensor> gradients;
    for (size_t i = 0; i < weights.size(); ++i)
      gradients.push_back(i == 1 && number == 1 ? at::Tensor() : random(weights[i].sizes(), 1000 * number + i));
    optimizer.step(gradients, options);
    if (ranks != nullptr) optimizer.share_weights(*ranks);
  }

  std::vector<at::Tensor> state() {
    std::vector<at::Tensor> result;
    for (const auto& slice : optimizer.slices()) result.push_back(slice.view().clone());
    return result;
  }
};

void expect_alike(const std::vector<at::Tensor>& actual, const std::vector<at::Tensor>& expected, const std::string& what) {
  EXPECT(actual.size() == expected.size(), what);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT(actual[i].equal(expected[i]), what, ": tensor ", i);
}

std::string file_of(const char* name) {
  return (std::filesystem::temp_directory_path() / (std::string("magrpo-ranks-") + std::to_string(::getpid()) + name)).string();
}

std::string bytes_of(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST("optimizer over ranks: weights and what is saved are those of one rank, bit for bit, for moments and weights of each kind") {
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    for (const auto kind : kKinds)
      for (const int size : {2, 3}) {
        const std::string what = std::to_string(size) + " ranks, moments " + std::to_string(static_cast<int>(kind)) +
                                 (dtype == at::kFloat ? "" : ", bfloat16 weights");
        const std::string whole_file = file_of("whole"), file = file_of("spread");
        Subject whole(dtype);
        for (int t = 1; t <= 3; ++t) whole.step(t, kind, nullptr);
        model::write_tensors(whole_file, "head", whole.optimizer.slices());
        const auto saved = whole.state();
        whole.step(4, kind, nullptr);
        const auto after = whole.state();
        test::with_ranks(size, [&](Collectives& ranks) {
          Subject own(dtype);
          // A step before the state is spread, and two after it.
          own.step(1, kind, nullptr);
          own.optimizer.spread(ranks, true);
          EXPECT(own.optimizer.is_spread());
          for (int t = 2; t <= 3; ++t) own.step(t, kind, &ranks);
          own.optimizer.write(ranks.rank() == 0 ? file : "", "head", ranks);
          if (ranks.rank() == 0) EXPECT(bytes_of(file) == bytes_of(whole_file), what);
          own.step(4, kind, &ranks);
          expect_alike(own.weights, whole.weights, what);
          own.optimizer.spread(ranks, false);
          expect_alike(own.state(), after, what + ", gathered");

          // What was saved is read into another that is spread, from its first step on.
          Subject other(dtype);
          other.optimizer.spread(ranks, true);
          for (size_t i = 0; i < other.weights.size(); ++i) other.weights[i].zero_();
          auto sources = sources_of(whole.optimizer, file);
          for (auto& source : sources) source.begin += 4;
          other.optimizer.read(ranks.rank() == 0 ? sources : std::vector<model::TensorSource>(), nullptr, ranks);
          other.optimizer.spread(ranks, false);
          expect_alike(other.state(), saved, what + ", read");
        });
        std::filesystem::remove(file);
        std::filesystem::remove(whole_file);
      }
}

TEST("optimizer over ranks: a rank holds its share of moments and masters") {
  for (const auto kind : kKinds)
    test::with_ranks(2, [&](Collectives& ranks) {
      Subject own(at::kBFloat16);
      own.optimizer.spread(ranks, true);
      own.step(1, kind, &ranks);
      Subject whole(at::kBFloat16);
      whole.step(1, kind, nullptr);
      int64_t all = 0;
      for (const auto& slice : whole.optimizer.slices()) all += static_cast<int64_t>(slice.view().nbytes());
      // Some tensors of the subject belong to one rank whole, and are a tenth of it.
      const double share = static_cast<double>(own.optimizer.state_bytes()) / static_cast<double>(all);
      EXPECT(share > 0.4 && share < 0.6, share);
    });
}

TEST("optimizer over ranks: before the first step zeros are saved, and tensors that are added later are spread too") {
  const std::string file = file_of("new"), whole_file = file_of("new-whole");
  Subject whole(at::kFloat);
  model::write_tensors(whole_file, "", whole.optimizer.slices());
  test::with_ranks(2, [&](Collectives& ranks) {
    Subject own(at::kFloat);
    own.optimizer.spread(ranks, true);
    own.optimizer.write(ranks.rank() == 0 ? file : "", "", ranks);
    if (ranks.rank() == 0) EXPECT(bytes_of(file) == bytes_of(whole_file));
    own.step(1, MomentKind::kInt8, &ranks);
    own.weights.push_back(random({64, 96}, 5));
    own.optimizer.add({{"late", own.weights.back(), 0, 64}});
    own.optimizer.spread(ranks, true);
    own.step(2, MomentKind::kInt8, &ranks);
    Subject other(at::kFloat);
    other.step(1, MomentKind::kInt8, nullptr);
    other.weights.push_back(random({64, 96}, 5));
    other.optimizer.add({{"late", other.weights.back(), 0, 64}});
    other.step(2, MomentKind::kInt8, nullptr);
    expect_alike(own.weights, other.weights, "late");
  });
  std::filesystem::remove(file);
  std::filesystem::remove(whole_file);
}

TEST("optimizer over ranks: a file that cannot be written or does not fit is an error, and every rank hears of it") {
  const auto code_of = [](const auto& work) -> std::string {
    try {
      work();
    } catch (const core::Error& error) {
      return error.code();
    }
    return "";
  };
  test::with_ranks(2, [&](Collectives& ranks) {
    Subject own(at::kFloat);
    own.optimizer.spread(ranks, true);
    const bool is_first = ranks.rank() == 0;
    own.step(1, MomentKind::kFloat32, &ranks);
    EXPECT(code_of([&] { own.optimizer.write(is_first ? "/nowhere/at/all" : "", "", ranks); }) == (is_first ? "ERR_RUN" : ""));
    EXPECT(code_of([&] { own.optimizer.read({}, nullptr, ranks); }) == (is_first ? "ERR_MODEL_FORMAT" : "ERR_RANK"));
    EXPECT(code_of([&] { own.optimizer.slices(); }) == "ERR_ARGUMENT");
    // Nothing is left over of what went before.
    own.step(2, MomentKind::kFloat32, &ranks);
    Subject whole(at::kFloat);
    for (int t = 1; t <= 2; ++t) whole.step(t, MomentKind::kFloat32, nullptr);
    expect_alike(own.weights, whole.weights, "afterwards");
  });
}

}  // namespace
}  // namespace magrpo::train
