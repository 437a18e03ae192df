// Identities of files and models by what is in them. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "llmq/core/error.hpp"
#include "llmq/model/source.hpp"

namespace llmq {

/// SHA-256 of a file's bytes, lower-case hex. @throws Error(code) when it cannot be opened
std::string hash_file(const std::filesystem::path& path, ExitCode code);

/// Of a file: its bytes, with those of a set that it leads. Of a directory: the model's fingerprint and the
/// texts beside its weights.
std::string hash_model(const ModelSource& source, const std::filesystem::path& path);

/// Of a file (and the set it leads), or of the names and contents of a directory's files. @throws Error(code)
/// for what cannot be read.
std::string hash_output(const std::filesystem::path& path, ExitCode code);
/// Bytes of the same.
std::uint64_t output_bytes(const std::filesystem::path& path);

}  // namespace llmq
