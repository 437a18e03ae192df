// The shape of a job document, by configs/schemas/job.schema.json. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "llmq/core/json_schema.hpp"

namespace llmq::job {

/// @throws JobError for the first value that breaks the schema: pointer, what was expected, what is there,
/// and the nearest known name for an unknown one.
void check_schema(const nlohmann::json& document, std::string_view file);

}  // namespace llmq::job
