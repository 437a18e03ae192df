// The shape of a job document, by configs/schemas/job.schema.json. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace llmq::job {

/// @throws JobError for the first value that breaks the schema: pointer, what was expected, what is there,
/// and the nearest known name for an unknown one.
void check_schema(const nlohmann::json& document, std::string_view file);

/// The one of `names` that `word` was probably meant to be; empty when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& names);

/// `key` as a part of a JSON pointer: "~" and "/" escaped.
std::string pointer_token(std::string_view key);

}  // namespace llmq::job
