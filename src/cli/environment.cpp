#include "cli/environment.hpp"

#include <cstdlib>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

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

double quality_threshold_pct() {
  constexpr double kDefault = 20;
  const char* text = std::getenv("LLM_QUANTIZE_QUALITY_THRESHOLD");
  if (text == nullptr || *text == '\0') return kDefault;
  char* end = nullptr;
  const double threshold = std::strtod(text, &end);
  if (*end == '\0' && threshold >= 0) return threshold;
  throw Error(ExitCode::invalid_arguments,
              fmt::format("LLM_QUANTIZE_QUALITY_THRESHOLD: \"{}\" is not a percentage", text),
              "Set it to a number such as 20");
}

}  // namespace llmq::cli
