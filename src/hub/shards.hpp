// Which files hold the weights of a checkpoint. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace llmq::hub {

inline constexpr const char* kWeightsFile = "model.safetensors";
inline constexpr const char* kIndexFile = "model.safetensors.index.json";

/// Names of the shards an index speaks of, sorted, each once.
/// @throws FormatError(validation) for a malformed index or a name that is no plain file name.
std::vector<std::string> shards_of_index(const std::filesystem::path& index);

}  // namespace llmq::hub
