// What stands after an option in --help: the kind of its value in capitals, or the words it can be in small
// letters, joined by `|`. Completions read the same names, so an option says once what it takes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

namespace llmq::cli {

inline constexpr const char* kFileValue = "FILE";
inline constexpr const char* kDirectoryValue = "DIR";
inline constexpr const char* kPathValue = "PATH";  ///< a file or a directory
inline constexpr const char* kLevelValue = "LEVEL";
inline constexpr const char* kTensorTypeValue = "TYPE";
inline constexpr const char* kProfileValue = "PROFILE";  ///< a preset, or a file
inline constexpr const char* kNameValue = "NAME";
inline constexpr const char* kSizeValue = "SIZE";

/// Levels that `quantize -q` accepts now, in their canonical spelling.
std::vector<std::string_view> available_levels();
/// Names of the profiles that the program carries.
std::vector<std::string_view> available_presets();
/// Types that tensors can be quantized to now.
std::vector<std::string_view> available_tensor_types();

}  // namespace llmq::cli
