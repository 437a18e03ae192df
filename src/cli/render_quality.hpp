// `quality compare` as a table, as JSON and as CSV; the metrics object it shares with `quality report`.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "llmq/pipeline/quality.hpp"

#include "cli/json_document.hpp"

namespace llmq::cli {

/// The contract's `metrics` of one candidate: the groups in `metrics`, in the order of `quality report`.
Json quality_metrics(const QualityResult& result, const MetricSet& metrics);

/// One row a candidate, in the order given.
std::string human(const CompareResult& result);
std::string json(const CompareResult& result, const std::vector<std::string>& warnings);
/// RFC 4180 with LF line ends: a header and one row a candidate, numbers as in the JSON.
std::string csv(const CompareResult& result);

}  // namespace llmq::cli
