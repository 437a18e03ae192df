// How files are called on a page: without directories, told apart. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace llmq {

/// The last part of a path: directories are nobody else's business.
std::string shown_name(const std::filesystem::path& path);
/// Of several; equal ones are numbered: "a.gguf", "a.gguf (2)".
std::vector<std::string> shown_names(const std::vector<std::filesystem::path>& paths);

/// What tells files apart: "Pebble-q4_0.gguf" and "Pebble-q8_0.gguf" -> "q4_0" and "q8_0". Cut at hyphens, at
/// the end at dots too; of one file only ".gguf" goes. Equal ones are numbered.
std::vector<std::string> short_names(const std::vector<std::filesystem::path>& paths);

/// At most so many characters, the middle left out: "dynamic-b…ced-4.5".
std::string cut_middle(const std::string& name, std::size_t most);
/// Characters of UTF-8; every broken byte counts as one or none.
std::size_t character_count(const std::string& text);

}  // namespace llmq
