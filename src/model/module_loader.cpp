#include "model/module_loader.hpp"

#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <vector>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> candidates(const std::string& file) {
  std::vector<fs::path> places;
  if (const char* place = std::getenv("LLM_QUANTIZE_MODULE_DIR"); place != nullptr && *place != '\0') {
    places.push_back(fs::path(place) / file);
  }
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    places.push_back(self.parent_path() / "../lib" / file);               // build tree
    places.push_back(self.parent_path() / "../lib/llm-quantize" / file);  // installed
  }
  return places;
}

}  // namespace

void* load_module_entry(const std::string& file, const char* entry) {
  std::string tried;
  for (const fs::path& path : candidates(file)) {
    const std::string separator = tried.empty() ? "" : "; ";
    if (!fs::exists(path)) {
      tried += fmt::format("{}{}: no such file", separator, path.lexically_normal().string());
      continue;
    }
    void* module = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    void* address = module == nullptr ? nullptr : ::dlsym(module, entry);
    if (address != nullptr) return address;
    tried += separator + ::dlerror();
  }
  throw Error(ExitCode::general, fmt::format("cannot load a module of this program: {}", tried),
              "Build or install the program again");
}

}  // namespace llmq
