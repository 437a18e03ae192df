#include "cli/environment.hpp"

#include <cstdlib>
#include <limits>

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

/// What the variable says, if it is a number in [0, `most`]; `otherwise` when it says nothing.
double number(const char* variable, double most, double otherwise, const char* meaning, const char* example) {
  const char* text = std::getenv(variable);
  if (text == nullptr || *text == '\0') return otherwise;
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (*end == '\0' && value >= 0 && value <= most) return value;
  throw Error(ExitCode::invalid_arguments, fmt::format("{}: \"{}\" is not {}", variable, text, meaning),
              fmt::format("Set it to a number such as {}", example));
}

}  // namespace

fs::path profile_directory() {
  return directory("LLM_QUANTIZE_PROFILE_DIR", ".config/llm-quantize/profiles");
}

fs::path imatrix_cache_directory() {
  return directory("LLM_QUANTIZE_IMATRIX_CACHE", ".cache/llm-quantize/imatrix");
}

double quality_threshold_pct() {
  return number("LLM_QUANTIZE_QUALITY_THRESHOLD", std::numeric_limits<double>::infinity(), 20, "a percentage",
                "20");
}

double coherence_threshold() {
  return number("LLM_QUANTIZE_COHERENCE_THRESHOLD", 1, 0.5, "a score between 0 and 1", "0.5");
}

}  // namespace llmq::cli
