// A hub model as a local directory: found in a cache, or downloaded into one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "llmq/core/log.hpp"
#include "llmq/hub/id.hpp"

namespace llmq::hub {

struct Settings {
  std::string endpoint = "https://huggingface.co";  ///< without a slash at its end
  std::string token;                                ///< empty: none. Never shown, never sent to other hosts
  bool offline = false;
  std::vector<std::filesystem::path> caches;  ///< where models are looked for, in this order
  std::filesystem::path downloads;            ///< the cache they are downloaded into; empty: nowhere
  double patience_seconds = 60;               ///< without a byte received
};

/// What HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, LLM_QUANTIZE_CACHE and
/// LLM_QUANTIZE_DOWNLOAD_PATIENCE say (docs/hub.md). @throws Error(invalid_arguments).
Settings settings_from_environment();

/// The directory of a model that is in one of the caches, whole; without network. Empty when there is none.
std::filesystem::path cached_model(const Settings& settings, const ModelId& id);

/// The model's directory, downloaded if no cache holds it whole. Local; waits for another run of this node
/// that downloads the same model. `stop` is asked a few times a second.
/// @throws Error: model_not_found (also when offline), authentication_required, validation (contents that
/// fail their check, a malformed answer, not enough disk), interrupted (what has arrived is kept), general
/// (no connection, disk full).
std::filesystem::path fetch_model(const Settings& settings, const ModelId& id, Log& log,
                                  const std::function<bool()>& stop);

}  // namespace llmq::hub
