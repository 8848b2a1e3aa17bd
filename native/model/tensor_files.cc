// Reading and writing the bytes of safetensors files. Headers are TypeScript's matter: no JSON here.
#include <ATen/ops/from_blob.h>
#include <c10/core/ScalarType.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <unordered_map>

#include "core/errors.h"
#include "model/weights.h"

namespace magrpo::model {
namespace {

// A whole file mapped for reading; its size is the one checked against, before anything is touched.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    core::check(descriptor >= 0, "ERR_MODEL_FORMAT", "Cannot open ", path, ": ", std::strerror(errno), ".");
    struct stat status{};
    ::fstat(descriptor, &status);
    size_ = status.st_size;
    if (size_ > 0) data_ = ::mmap(nullptr, static_cast<size_t>(size_), PROT_READ, MAP_PRIVATE, descriptor, 0);
    const int failure = errno;
    ::close(descriptor);
    core::check(size_ > 0 && data_ != MAP_FAILED, "ERR_MODEL_FORMAT", "Cannot map ", path, ": ",
                size_ == 0 ? "the file is empty" : std::strerror(failure), ".");
  }
  ~MappedFile() { ::munmap(data_, static_cast<size_t>(size_)); }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  int64_t size() const { return size_; }
  char* at(int64_t offset) const { return static_cast<char*>(data_) + offset; }

 private:
  void* data_ = nullptr;
  int64_t size_ = 0;
};

std::string shape_text(at::IntArrayRef shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += core::concat(i > 0 ? ", " : "", shape[i]);
  return text + "]";
}

using SourcesByName = std::unordered_map<std::string, const TensorSource*>;

SourcesByName by_name_of(const std::vector<TensorSource>& sources) {
  SourcesByName by_name;
  for (const auto& source : sources) by_name[source.name] = &source;
  return by_name;
}

// The source of a slice, which has its shape.
const TensorSource& source_of(const NamedSlice& slice, const SourcesByName& by_name) {
  const auto found = by_name.find(slice.name);
  core::check(found != by_name.end(), "ERR_MODEL_FORMAT", "Expected a tensor \"", slice.name, "\" but found none in ",
              by_name.empty() ? "the files" : by_name.begin()->second->file, by_name.size() > 1 ? " or the files beside it." : ".");
  const at::Tensor target = slice.view();
  core::check(target.sizes() == at::IntArrayRef(found->second->shape), "ERR_MODEL_FORMAT", "Expected shape ", shape_text(target.sizes()),
              " for tensor \"", slice.name, "\" but ", found->second->file, " has ", shape_text(found->second->shape), ".");
  // Numbers of any float type are converted as they are copied; codes mean nothing in another type, nor do others as codes.
  core::check((target.scalar_type() == at::kByte) == (found->second->dtype == at::kByte), "ERR_MODEL_FORMAT", "Expected ",
              target.scalar_type() == at::kByte ? "bytes" : "floating-point numbers", " for tensor \"", slice.name, "\" but ",
              found->second->file, " has dtype ", c10::toString(found->second->dtype), ".");
  return *found->second;
}

}  // namespace

void check_shapes(const std::vector<NamedSlice>& slices, const std::vector<TensorSource>& sources) {
  const auto by_name = by_name_of(sources);
  for (const auto& slice : slices) source_of(slice, by_name);
}

void read_tensors(const std::vector<NamedSlice>& slices, const std::vector<TensorSource>& sources, const core::CancelFlagPtr& cancel,
                  const std::function<void(int64_t, int64_t)>& progress) {
  check_shapes(slices, sources);  // all or nothing
  const auto by_name = by_name_of(sources);
  std::map<std::string, std::unique_ptr<MappedFile>> files;
  int64_t done = 0;
  for (const auto& slice : slices) {
    if (cancel) cancel->check();
    const TensorSource& source = source_of(slice, by_name);
    at::Tensor target = slice.view();
    auto& file = files[source.file];
    if (!file) file = std::make_unique<MappedFile>(source.file);
    const int64_t bytes = target.numel() * static_cast<int64_t>(c10::elementSize(source.dtype));
    core::check(source.begin >= 0 && source.begin + bytes <= file->size(), "ERR_MODEL_FORMAT", "Expected ", bytes, " bytes at ",
                source.begin, " of ", source.file, " for tensor \"", slice.name, "\" but the file has ", file->size(), " bytes.");
    // Data of a safetensors file may stand at any offset; an unaligned tensor goes through aligned memory first.
    std::vector<char> aligned;
    char* data = file->at(source.begin);
    if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(source.dtype) != 0) {
      aligned.assign(data, data + bytes);
      data = aligned.data();
    }
    target.copy_(at::from_blob(data, source.shape, at::TensorOptions().dtype(source.dtype)));
    core::check(target.isfinite().all().item<bool>(), "ERR_MODEL_WEIGHTS", "Tensor \"", slice.name, "\" of ", source.file,
                " holds NaN or infinite values: the file is damaged, or training diverged before it was saved.");
    if (progress) progress(++done, static_cast<int64_t>(slices.size()));
  }
}

TensorWriter::TensorWriter(std::string file)
    : file_(std::move(file)), descriptor_(::open(file_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {
  if (descriptor_ < 0) fail("create");
}

TensorWriter::TensorWriter(std::string file, const std::string& header) : TensorWriter(std::move(file)) {
  write_all(header.data(), header.size());
}

TensorWriter::~TensorWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void TensorWriter::write(const at::Tensor& tensor) {
  const at::Tensor bytes = tensor.detach().cpu().contiguous();
  write_all(static_cast<const char*>(bytes.const_data_ptr()), static_cast<size_t>(bytes.nbytes()));
}

void TensorWriter::finish() {
  if (::fsync(descriptor_) != 0) fail("sync");
}

void TensorWriter::write_all(const char* data, size_t size) {
  while (size > 0) {
    const ssize_t written = ::write(descriptor_, data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("write");
    data += written;
    size -= static_cast<size_t>(written);
  }
}

void TensorWriter::fail(const char* what) const {
  throw core::Error("ERR_RUN", "Cannot ", what, " ", file_, ": ", std::strerror(errno), ".");
}

void write_tensors(const std::string& file, const std::string& header, const std::vector<NamedSlice>& slices) {
  TensorWriter writer(file, header);
  for (const auto& slice : slices) writer.write(slice.view());
  writer.finish();
}

}  // namespace magrpo::model
