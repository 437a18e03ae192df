// Identities of files and models by what is in them. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "llmq/core/error.hpp"
#include "llmq/model/source.hpp"

namespace llmq {

/// SHA-256 of a file's bytes, lower-case hex. @throws Error(code) when it cannot be opened
std::string hash_file(const std::filesystem::path& path, ExitCode code);

/// Of a file: its bytes. Of a directory: the model's fingerprint and the texts beside its weights.
std::string hash_model(const ModelSource& source, const std::filesystem::path& path);

}  // namespace llmq
