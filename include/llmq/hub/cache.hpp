// The cache of hub models on disk, in the layout of the huggingface_hub library, so that both use each
// other's files: models--ORG--NAME/refs/REVISION holds a commit, snapshots/COMMIT/ links into blobs/.
// Everything is local. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llmq/hub/id.hpp"

namespace llmq::hub {

/// CACHE/models--ORG--NAME.
std::filesystem::path repository_directory(const std::filesystem::path& cache, const ModelId& id);
/// Where the reference of a revision stands; for a commit there is none.
std::filesystem::path reference_path(const std::filesystem::path& repository, const ModelId& id);

/// What keeps a snapshot from being used: "config.json is missing", "model-2.safetensors ends early". Empty
/// when configuration, weights (all shards of the index, each as long as its header says) and a tokenizer are
/// there.
/// @param needs_tokenizer  false: one without a tokenizer will do
std::string incomplete_part(const std::filesystem::path& snapshot, bool needs_tokenizer);

/// The snapshot of the revision in the first of `caches` that holds it whole.
std::optional<std::filesystem::path> find_snapshot(const std::vector<std::filesystem::path>& caches,
                                                   const ModelId& id, bool needs_tokenizer = true);

/// "org/name" of every model in the caches, sorted, each once.
std::vector<std::string> cached_repositories(const std::vector<std::filesystem::path>& caches);

/// Those of `known` that `wanted` may be a misspelling of, nearest first, at most three.
std::vector<std::string> near_names(std::string_view wanted, const std::vector<std::string>& known);

/// "org/name" for the path of a snapshot; empty for every other path.
std::string repository_of_snapshot(const std::filesystem::path& path);

/// What a model is called where people read of it: "org/name" for a snapshot, else the path as it was given.
std::filesystem::path model_title(const std::filesystem::path& path);

/// The last part of a model's name, for a path, a snapshot or an id: what outputs are called after.
/// Example: "org/name@v2" -> "name", ".../models--org--name/snapshots/COMMIT" -> "name", "./dir/" -> "dir".
std::string last_part(const std::filesystem::path& model);

}  // namespace llmq::hub
