// What a file's bytes are called: SHA-256 for large files, the hash of git's blob for the others.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "llmq/core/file.hpp"

namespace llmq::hub {

/// SHA-256 when `like` has 64 digits, else SHA-1 of "blob SIZE\0" and the content; lower-case hex. `stop`
/// ends it early with an empty text. Reads the whole file.
std::string content_hash(const File& file, const std::string& like, const std::function<bool()>& stop);

}  // namespace llmq::hub
