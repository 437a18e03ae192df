// Quality reports and comparisons as tables of at most 100 columns, and as JSON.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "llmq/pipeline/quality.hpp"

namespace llmq::cli {

std::string human(const QualityResult& result);
std::string json(const QualityResult& result, const std::vector<std::string>& warnings);
/// One row a candidate, in the order given.
std::string human(const CompareResult& result);
std::string json(const CompareResult& result, const std::vector<std::string>& warnings);

}  // namespace llmq::cli
