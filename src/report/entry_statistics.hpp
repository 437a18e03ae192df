// Figures of one imatrix entry. Matrices without a single token count for nothing.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "llmq/report/analyze_report.hpp"

namespace llmq {

/// The middle value, or the mean of the two in the middle; 0 of none.
double median_of(std::vector<double> values);

Spread spread_of(const std::vector<double>& values);

/// Importance of all columns of the matrices that were measured, with where they stand.
struct ColumnImportance {
  std::vector<double> values;
  std::vector<std::uint64_t> places;  ///< matrix x in_features + column
};
ColumnImportance column_importance(const ImatrixEntry& entry);

/// None stands out of a median of 0.
OutlierColumns outlier_columns(const ColumnImportance& columns, double median, std::uint64_t in_features);
std::optional<double> score_of(const ImatrixEntry& entry);
std::optional<double> kurtosis_of(const ImatrixEntry& entry);
std::optional<RelativeError> relative_error(const ImatrixEntry& entry);
std::optional<ExpertCoverage> expert_coverage(const ImatrixEntry& entry);

}  // namespace llmq
