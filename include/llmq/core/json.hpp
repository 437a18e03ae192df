// JSON from files of unknown origin: parsed with limits, duplicates refused.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "llmq/core/error.hpp"

namespace llmq {

/// Parses one JSON document. Invalid UTF-8, nesting deeper than `max_depth` and duplicate keys of an object
/// are errors: FormatError(code, path, ...) with the byte where the parser stood.
nlohmann::json parse_json_strict(std::string_view text, std::string_view path, ExitCode code,
                                 int max_depth = 64);

/// A string member of an object; `fallback` where `value` is no object, has no such member, or it is no
/// string.
std::string string_member(const nlohmann::json& value, const char* key, std::string_view fallback);

}  // namespace llmq
