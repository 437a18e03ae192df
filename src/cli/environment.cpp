#include "cli/environment.hpp"

#include <cstdlib>

namespace llmq::cli {
namespace {

namespace fs = std::filesystem;

/// What the variable says, else `below` in the home directory.
fs::path directory(const char* variable, const char* below) {
  if (const char* place = std::getenv(variable); place != nullptr && *place != '\0') return place;
  const char* home = std::getenv("HOME");
  return home == nullptr || *home == '\0' ? fs::path() : fs::path(home) / below;
}

}  // namespace

fs::path profile_directory() {
  return directory("LLM_QUANTIZE_PROFILE_DIR", ".config/llm-quantize/profiles");
}

fs::path imatrix_cache_directory() {
  return directory("LLM_QUANTIZE_IMATRIX_CACHE", ".cache/llm-quantize/imatrix");
}

}  // namespace llmq::cli
