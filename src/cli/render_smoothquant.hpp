// What the format smoothquant adds to a result. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "llmq/pipeline/smoothquant.hpp"

#include "cli/json_document.hpp"

namespace llmq::cli {

/// One row a kind of mapping: what was folded, how far inputs were apart before and after, the errors.
std::string smoothquant_table(const SmoothQuantResult& result);
Json smoothquant_json(const SmoothQuantResult& result);

}  // namespace llmq::cli
