// Finds and loads the shared module that runs models, once a process.
// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/model/forward.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModule = "libllmq_model_torch.so";
constexpr const char* kEntry = "llmq_make_forward_pass";
using Entry = ForwardPass* (*)(const ModelSpec*);

std::vector<fs::path> candidates() {
  std::vector<fs::path> places;
  if (const char* place = std::getenv("LLM_QUANTIZE_MODULE_DIR"); place != nullptr && *place != '\0') {
    places.push_back(fs::path(place) / kModule);
  }
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    places.push_back(self.parent_path() / "../lib" / kModule);                // build tree
    places.push_back(self.parent_path() / "../lib/llm-quantize" / kModule);   // installed
  }
  return places;
}

Entry load_entry() {
  std::string tried;
  for (const fs::path& path : candidates()) {
    if (!fs::exists(path)) {
      tried += fmt::format("{}{}: no such file", tried.empty() ? "" : "; ", path.lexically_normal().string());
      continue;
    }
    void* module = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    void* entry = module == nullptr ? nullptr : ::dlsym(module, kEntry);
    if (entry != nullptr) return reinterpret_cast<Entry>(entry);
    tried += fmt::format("{}{}", tried.empty() ? "" : "; ", ::dlerror());
  }
  throw Error(ExitCode::general, fmt::format("cannot load the module that runs models: {}", tried),
              "Build or install the program again, with libtorch present");
}

}  // namespace

std::unique_ptr<ForwardPass> make_forward_pass(const ModelSpec& spec) {
  if (spec.architecture != "llama") {
    throw Error(ExitCode::unsupported_conversion, fmt::format("architecture {} cannot be run yet", spec.architecture));
  }
  static const Entry entry = load_entry();
  return std::unique_ptr<ForwardPass>(entry(&spec));
}

}  // namespace llmq
