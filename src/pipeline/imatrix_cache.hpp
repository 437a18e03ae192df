// Importance matrices of earlier runs, by the key of the job that made them: model, tokenizer, data, method,
// settings. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "llmq/pipeline/stage_context.hpp"

namespace llmq {

struct CachePlace {
  std::filesystem::path path;  ///< where the matrix is, or is to be written
  bool found = false;          ///< it is there and sound
};

/// Collective; rank 0 looks, makes the directory, and every rank learns. A file that cannot be read is named
/// in a warning and taken for absent. @throws Error(invalid_arguments) if there can be no such directory.
CachePlace find_cached(const StageContext& context, const std::filesystem::path& directory,
                       const std::string& key);

}  // namespace llmq
