#include <algorithm>
#include <cstdlib>
#include <string_view>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/text.hpp"
#include "llmq/hub/fetch.hpp"

#include "hub/url.hpp"

namespace llmq::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxTokenBytes = 4096;
constexpr double kMostPatience = 86400;

std::string variable(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? std::string() : std::string(text);
}

std::string without_blanks(std::string text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  while (!text.empty() && is_blank(text.back())) text.pop_back();
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), is_blank));
  return text;
}

/// A program's directory among the user's caches; empty without a home.
fs::path cache_of(const char* program) {
  if (const std::string place = variable("XDG_CACHE_HOME"); !place.empty()) return fs::path(place) / program;
  const std::string home = variable("HOME");
  return home.empty() ? fs::path() : fs::path(home) / ".cache" / program;
}

/// HF_HOME, else huggingface_hub's place among the caches.
fs::path hub_home() {
  if (const std::string place = variable("HF_HOME"); !place.empty()) return place;
  return cache_of("huggingface");
}

/// LLM_QUANTIZE_CACHE, else the cache of huggingface_hub where a variable names it, else our own; empty
/// without a home.
fs::path downloads(const fs::path& hub_cache) {
  if (const std::string place = variable("LLM_QUANTIZE_CACHE"); !place.empty())
    return fs::path(place) / "hub";
  if (!variable("HF_HUB_CACHE").empty() || !variable("HF_HOME").empty()) return hub_cache;
  const fs::path ours = cache_of("llm-quantize");
  return ours.empty() ? fs::path() : ours / "hub";
}

std::string endpoint() {
  std::string text = without_blanks(variable("HF_ENDPOINT"));
  while (text.ends_with('/')) text.pop_back();
  if (text.empty()) return Settings().endpoint;
  if (origin_of(text).empty() || text.find_first_of("?#") != std::string::npos) {
    throw Error(ExitCode::invalid_arguments, "HF_ENDPOINT is not the address of a hub",
                "Set it to an address such as https://huggingface.co, without a user or a query");
  }
  return text;
}

/// Only what may stand in a header; the words of the error hold nothing of it.
std::string token(const fs::path& home) {
  std::string text = without_blanks(variable("HF_TOKEN"));
  const bool from_file = text.empty() && !home.empty() && fs::is_regular_file(home / "token");
  if (from_file) text = without_blanks(read_file(home / "token", kMaxTokenBytes));
  if (std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; })) return text;
  throw Error(ExitCode::invalid_arguments,
              fmt::format("{} holds characters that no token has",
                          from_file ? (home / "token").string() : "HF_TOKEN"),
              "Copy the token again, or remove it");
}

bool says_yes(const std::string& text) {
  static constexpr const char* kWords[] = {"1", "ON", "YES", "TRUE"};
  return std::any_of(std::begin(kWords), std::end(kWords),
                     [&](const char* word) { return equals_ignore_case(text, word); });
}

double patience() {
  const std::string text = variable("LLM_QUANTIZE_DOWNLOAD_PATIENCE");
  if (text.empty()) return Settings().patience_seconds;
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (*end == '\0' && value > 0 && value <= kMostPatience) return value;
  throw Error(ExitCode::invalid_arguments,
              fmt::format("LLM_QUANTIZE_DOWNLOAD_PATIENCE: \"{}\" is not a number of seconds", text),
              "Set it to a number such as 60");
}

}  // namespace

Settings settings_from_environment() {
  Settings settings;
  const fs::path home = hub_home();
  settings.endpoint = endpoint();
  settings.token = token(home);
  settings.offline = says_yes(variable("HF_HUB_OFFLINE"));
  settings.patience_seconds = patience();
  const std::string stated = variable("HF_HUB_CACHE");
  const fs::path hub_cache = !stated.empty() ? fs::path(stated) : home.empty() ? fs::path() : home / "hub";
  settings.downloads = downloads(hub_cache);
  for (const fs::path& cache : {hub_cache, settings.downloads}) {
    if (!cache.empty() && !std::count(settings.caches.begin(), settings.caches.end(), cache))
      settings.caches.push_back(cache);
  }
  return settings;
}

}  // namespace llmq::hub
