// What is wrong with the options of a quantize run, said before any work. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "llmq/model/source.hpp"
#include "llmq/pipeline/quantize.hpp"
#include "llmq/quant/type_policy.hpp"

namespace llmq {

/// @throws Error(invalid_arguments) for an unknown level, Error(unsupported_conversion) for one without
/// encoders.
const FileLevel& require_level(const std::string& name);
/// Where the file goes. @throws Error(invalid_arguments) for a name with a slash.
std::filesystem::path output_path(const QuantizeOptions& options, std::string_view level);
/// The file, its report and the adapter: writable, not there or --force, neither an input nor each other.
/// @throws Error(invalid_arguments).
void check_output(const QuantizeOptions& options, const std::filesystem::path& output);
/// @throws Error(invalid_arguments) for options of protection that do not go together.
void check_protection(const QuantizeOptions& options);
/// @throws Error(invalid_arguments) for a quantized input without --allow-requantize.
void check_requantize(const QuantizeOptions& options, const ModelSource& source);

/// Room on the file system of `partial`, files or directories of one place whose bytes count as there
/// already. @throws Error(validation).
void require_disk(const std::vector<std::filesystem::path>& partial, std::uint64_t needed);

}  // namespace llmq
