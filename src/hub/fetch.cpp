#include "llmq/hub/fetch.hpp"

#include <chrono>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/hub/cache.hpp"

#include "hub/answers.hpp"
#include "hub/curl/curl_client.hpp"
#include "hub/download.hpp"

namespace llmq::hub {
namespace {

namespace fs = std::filesystem;

constexpr auto kGlance = std::chrono::milliseconds(200);
/// A connection that is silent for so long is given up and made again.
constexpr double kMostSilence = 30;

[[noreturn]] void stopped_while_waiting(const ModelId& id) {
  throw Error(ExitCode::interrupted, fmt::format("interrupted while waiting for {}", id.text()),
              "Run the same command again");
}

/// Beside the cache's own locks. Held until it goes out of scope, also by a kill.
FileLock lock_repository(const Settings& settings, const ModelId& id, Log& log,
                         const std::function<bool()>& stop) {
  const fs::path directory = settings.downloads / ".locks" / repository_directory(fs::path(), id).filename();
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) {
    throw Error(
        ExitCode::invalid_arguments,
        fmt::format("{}: cannot make this directory for downloads: {}", directory.string(), error.message()),
        "Set HF_HUB_CACHE or LLM_QUANTIZE_CACHE to a directory that you may write to");
  }
  for (bool told = false;; told = true) {
    FileLock lock(directory / "llm-quantize.lock");
    if (lock.owns()) return lock;
    if (!told) log.status(fmt::format("Another run is downloading {}: waiting for it", id.repository()));
    if (stop()) stopped_while_waiting(id);
    std::this_thread::sleep_for(kGlance);
  }
}

void require_network(const Settings& settings, const ModelId& id) {
  if (settings.offline) {
    throw Error(
        ExitCode::model_not_found,
        fmt::format("{}: no such file or directory, and not whole in the cache; HF_HUB_OFFLINE keeps the "
                    "program from asking the hub",
                    id.text()),
        fmt::format("Unset HF_HUB_OFFLINE, or fetch it where there is a network: llm-quantize info {}{}",
                    id.text(), near_matches(id, settings)));
  }
  if (settings.downloads.empty()) {
    throw Error(ExitCode::invalid_arguments, "there is no directory for downloads: no home directory is set",
                "Set HF_HUB_CACHE or LLM_QUANTIZE_CACHE");
  }
}

}  // namespace

fs::path cached_model(const Settings& settings, const ModelId& id) {
  // Without network nothing can be added: what runs no text can do without a tokenizer.
  return find_snapshot(settings.caches, id, !settings.offline).value_or(fs::path());
}

fs::path fetch_model(const Settings& settings, const ModelId& id, Log& log,
                     const std::function<bool()>& stop) {
  if (fs::path found = cached_model(settings, id); !found.empty()) return found;
  require_network(settings, id);
  const FileLock lock = lock_repository(settings, id, log, stop);
  if (fs::path found = cached_model(settings, id); !found.empty()) return found;
  return Download(settings, id, curl_clients(std::min(kMostSilence, settings.patience_seconds)), log, stop)
      .run();
}

}  // namespace llmq::hub
