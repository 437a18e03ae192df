// Append-only files of results, one a rank and start: NAME.<start>.<rank>. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "llmq/core/file.hpp"

namespace llmq {

/// A new file of this name, behind those of earlier starts.
File open_journal_file(const std::filesystem::path& directory, const std::string& name, int rank);
/// Calls visit(bytes) for every file of this name in a directory, in no order.
void for_each_journal_file(const std::filesystem::path& directory, const std::string& name,
                           const std::function<void(const std::string& bytes)>& visit);

}  // namespace llmq
