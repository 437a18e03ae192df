// Checks of the place a stage will write to, before work starts. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>
#include <vector>

namespace llmq {

/// True if both name the same place, also by links. Neither need exist yet.
bool is_same_place(const std::filesystem::path& a, const std::filesystem::path& b);

/// Local (rank 0's business). Makes the directory of `output` if it is missing. Inputs that do not exist are
/// ignored.
/// @param option  what the user changes when the place will not do, e.g. "--output"
/// @throws Error(invalid_arguments): the directory is not writable, `output` is a directory or one of
/// `inputs` (also by another name: links).
void require_output_place(const std::filesystem::path& output,
                          const std::vector<std::filesystem::path>& inputs, std::string_view option);

/// Local (rank 0's business). The same for a directory; makes the one above it if it is missing.
/// @param is_ours  whether the config.json of what stands there says that it is of the kind that is to be
/// written, "a W8A8 directory"
/// @throws Error(invalid_arguments): not writable, there already and no `force`, another kind and not
/// empty, or one that is or holds an input.
void require_output_directory(const std::filesystem::path& output,
                              const std::vector<std::filesystem::path>& inputs, bool force,
                              const std::function<bool(std::string_view config)>& is_ours,
                              std::string_view kind);

/// `output_dir`/`name`, or `otherwise` for an empty one.
/// @throws Error(invalid_arguments) for a name that is no plain one.
std::filesystem::path directory_path(const std::filesystem::path& output_dir, const std::string& name,
                                     const std::string& otherwise);

}  // namespace llmq
