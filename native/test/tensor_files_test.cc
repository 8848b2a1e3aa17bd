// Tensors to files and back.
#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "model/weights.h"
#include "test/harness.h"
#include "test/tiny_decoder.h"

namespace magrpo::model {
namespace {

using test::random;

// A folder of this test, removed at its end.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / core::concat("magrpo-test-", ::getpid())) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

void read(const std::vector<NamedSlice>& slices, const std::vector<TensorSource>& sources) {
  read_tensors(slices, sources, nullptr, nullptr);
}

TEST("tensor files: what was written is read back bit for bit, at unaligned offsets too") {
  const Folder folder;
  const at::Tensor joint = random({5, 4}, 1), half = random({3}, 2).to(at::kBFloat16);
  const std::vector<NamedSlice> written{{"lower", joint, 2, 3}, {"half", half, 0, 3}, {"upper", joint, 0, 2}};
  for (const std::string header : {"", "7 bytes", "12345678"}) {
    const std::string file = folder.file("tensors");
    write_tensors(file, header, written);
    EXPECT(std::filesystem::file_size(file) == header.size() + 12 * 4 + 3 * 2 + 8 * 4);
    const int64_t start = static_cast<int64_t>(header.size());
    const std::vector<TensorSource> sources{{"upper", file, at::kFloat, {2, 4}, start + 54},
                                            {"lower", file, at::kFloat, {3, 4}, start},
                                            {"half", file, at::kBFloat16, {3}, start + 48},
                                            {"not asked for", file, at::kFloat, {9}, 0}};
    const at::Tensor target = at::zeros({5, 4}, at::kFloat), widened = at::zeros({3}, at::kFloat);
    std::vector<std::pair<int64_t, int64_t>> progress;
    read_tensors({{"lower", target, 2, 3}, {"half", widened, 0, 3}, {"upper", target, 0, 2}}, sources, std::make_shared<core::CancelFlag>(),
                 [&](int64_t done, int64_t all) { progress.emplace_back(done, all); });
    EXPECT(target.equal(joint), "header ", header);
    EXPECT(widened.equal(half.to(at::kFloat)), "bfloat16 is widened exactly");
    EXPECT((progress == std::vector<std::pair<int64_t, int64_t>>{{1, 3}, {2, 3}, {3, 3}}));
  }
}

TEST("tensor files: what does not fit is refused before it is read") {
  const Folder folder;
  const std::string file = folder.file("tensors");
  const at::Tensor values = random({6}, 1), target = at::zeros({6}, at::kFloat);
  write_tensors(file, "head", {{"a", values, 0, 6}});
  const std::vector<NamedSlice> slices{{"a", target, 0, 6}};
  EXPECT_THROWS("ERR_MODEL_FORMAT", read(slices, {}));
  EXPECT_THROWS("ERR_MODEL_FORMAT", read(slices, {{"a", file, at::kFloat, {2, 3}, 4}}));
  EXPECT_THROWS("ERR_MODEL_FORMAT", read(slices, {{"a", file, at::kFloat, {6}, 5}}));
  EXPECT_THROWS("ERR_MODEL_FORMAT", read(slices, {{"a", file, at::kDouble, {6}, 4}}));
  EXPECT_THROWS("ERR_MODEL_FORMAT", read(slices, {{"a", file, at::kFloat, {6}, -4}}));
  EXPECT_THROWS("ERR_MODEL_FORMAT", read(slices, {{"a", folder.file("missing"), at::kFloat, {6}, 4}}));
  std::filesystem::resize_file(file, 27);
  EXPECT_THROWS("ERR_MODEL_FORMAT", read(slices, {{"a", file, at::kFloat, {6}, 4}}));
  std::filesystem::resize_file(file, 0);
  EXPECT_THROWS("ERR_MODEL_FORMAT", read(slices, {{"a", file, at::kFloat, {6}, 4}}));
  EXPECT(target.count_nonzero().item<int64_t>() == 0);
  EXPECT_THROWS("ERR_RUN", write_tensors(folder.file("missing/tensors"), "", {{"a", values, 0, 6}}));
}

TEST("tensor files: values that are not finite are refused by the tensor's name; a cancel flag stops") {
  const Folder folder;
  const std::string file = folder.file("tensors");
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity()}) {
    const at::Tensor values = random({6}, 1);
    values[3] = bad;
    write_tensors(file, "", {{"a", values, 0, 6}});
    EXPECT_THROWS("ERR_MODEL_WEIGHTS", read({{"a", values, 0, 6}}, {{"a", file, at::kFloat, {6}, 0}}));
  }
  const auto cancel = std::make_shared<core::CancelFlag>();
  cancel->cancel();
  EXPECT_THROWS("ERR_CANCELLED", read_tensors({{"a", random({6}, 1), 0, 6}}, {{"a", file, at::kFloat, {6}, 0}}, cancel, nullptr));
}

TEST("weights: names cover every number once; a tied head has no name") {
  for (const bool tied : {false, true})
    for (const char* architecture : test::kArchitectures) {
      Config config = test::tiny_config(architecture);
      config.tie_word_embeddings = tied;
      const Weights weights = allocate_weights(config, at::TensorOptions().dtype(at::kFloat));
      int64_t named = 0, all = 0;
      for (const at::Tensor& tensor : test::parameters(config, weights)) all += tensor.numel();
      bool has_head = false;
      for (const auto& slice : named_slices(config, weights)) {
        named += slice.view().numel();
        has_head = has_head || slice.name == "lm_head.weight";
      }
      EXPECT(named == all && has_head == !tied);
      EXPECT(weights.head.is_same(weights.embedding) == tied);
    }
}

}  // namespace
}  // namespace magrpo::model
