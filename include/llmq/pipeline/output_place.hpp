// Checks of the place a stage will write to, before work starts. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>
#include <vector>

namespace llmq {

/// Local (rank 0's business). Makes the directory of `output` if it is missing. Inputs that do not exist are
/// ignored.
/// @param option  what the user changes when the place will not do, e.g. "--output"
/// @throws Error(invalid_arguments): the directory is not writable, `output` is a directory or one of
/// `inputs` (also by another name: links).
void require_output_place(const std::filesystem::path& output,
                          const std::vector<std::filesystem::path>& inputs, std::string_view option);

/// Local (rank 0's business). The same for a directory; makes the one above it if it is missing.
/// @param replaceable  whether what stands there is of the kind that is to be written, "a W8A8 directory"
/// @throws Error(invalid_arguments): not writable, there already and no `force`, not replaceable, or one that
/// is or holds an input.
void require_output_directory(const std::filesystem::path& output,
                              const std::vector<std::filesystem::path>& inputs, bool force,
                              const std::function<bool(const std::filesystem::path&)>& replaceable,
                              std::string_view kind);

}  // namespace llmq
