#include <dlfcn.h>

#include <cstdlib>
#include <mutex>
#include <string>

#include "core/errors.h"
#include "software_cuda/table.h"

namespace magrpo::software_cuda {
namespace {

// Written before anything of a device can be asked for.
const Table* loaded = nullptr;

// The file that holds this function: the addon, or a test program.
std::string own_file() {
  Dl_info info{};
  return ::dladdr(reinterpret_cast<void*>(&own_file), &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

}  // namespace

const Table* table() { return loaded; }

void load_if_wanted() {
  // Every JavaScript environment asks, each on its own thread.
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  const char* wanted = std::getenv("MAGRPO_DEVICE");
  if (loaded != nullptr || wanted == nullptr || *wanted == '\0') return;
  core::check(std::string(wanted) == "software", "ERR_DEVICE", "Expected \"software\" in MAGRPO_DEVICE, or nothing, but received \"",
              wanted, "\".");
  const std::string own = own_file(), file = own.substr(0, own.rfind('/') + 1) + "magrpo_software_cuda.so";
  // Its operations stay registered with libtorch, so it is never unloaded.
  void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  core::check(library != nullptr, "ERR_DEVICE", "The software device could not be loaded: ", library == nullptr ? ::dlerror() : "",
              ". Build the addon again with `npx magrpo setup`, or unset MAGRPO_DEVICE.");
  const auto function = reinterpret_cast<TableFunction>(::dlsym(library, kTableFunction));
  core::check(function != nullptr, "ERR_DEVICE", file, " is not the library of the software device.");
  loaded = function();
}

}  // namespace magrpo::software_cuda
