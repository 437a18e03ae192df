// Names of models on a hub: `org/name[@revision]`, and what is a path instead.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace llmq::hub {

struct ModelId {
  std::string organization;
  std::string name;
  std::string revision = "main";  ///< branch, tag or commit

  std::string repository() const { return organization + "/" + name; }
  /// As it is written on a command line; "main" goes without saying.
  std::string text() const { return revision == "main" ? repository() : repository() + "@" + revision; }
};

/// Empty for what looks like a path: "./x", "/x", "a/b/c", "x", and names that end as our files do (".gguf",
/// ".imatrix", ...).  Example: "meta-llama/Llama-2-7b-hf@refs/pr/3" -> {"meta-llama", "Llama-2-7b-hf",
/// "refs/pr/3"}.
std::optional<ModelId> parse_model_id(std::string_view text);

/// The same, but what exists in the file system under that name is no id.
std::optional<ModelId> remote_model_id(const std::filesystem::path& model);

/// 40 lower-case hex digits: a commit.
bool is_commit(std::string_view text) noexcept;

}  // namespace llmq::hub
