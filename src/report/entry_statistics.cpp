#include "report/entry_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace llmq {
namespace {

double sum_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

bool sensitivity_measured(const ImatrixEntry& entry) {
  return !entry.sensitivity.empty() && entry.sensitivity.samples > 0;
}

/// The smallest value that 95 % of all do not exceed.
double p95_of(std::vector<double> values) {
  const auto rank = static_cast<std::ptrdiff_t>((values.size() * 95 + 99) / 100) - 1;
  std::nth_element(values.begin(), values.begin() + rank, values.end());
  return values[static_cast<std::size_t>(rank)];
}

}  // namespace

double median_of(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

Spread spread_of(const std::vector<double>& values) {
  if (values.empty()) return {};
  const auto [min, max] = std::minmax_element(values.begin(), values.end());
  return {*min, median_of(values), sum_of(values) / static_cast<double>(values.size()), *max};
}

ColumnImportance column_importance(const ImatrixEntry& entry) {
  ColumnImportance columns;
  for (std::uint64_t mat = 0; mat < entry.n_mat; ++mat) {
    if (entry.importance_count(mat) == 0) continue;
    const std::vector<float> importance = entry.importance(mat);
    for (std::uint64_t j = 0; j < importance.size(); ++j) {
      columns.values.push_back(importance[j]);
      columns.places.push_back(mat * entry.in_features + j);
    }
  }
  return columns;
}

OutlierColumns outlier_columns(const ColumnImportance& columns, double median, std::uint64_t in_features) {
  OutlierColumns outliers;
  if (!(median > 0)) return outliers;
  for (std::size_t i = 0; i < columns.values.size(); ++i) {
    const double ratio = columns.values[i] / median;
    if (!(ratio > kOutlierRatio)) continue;
    ++outliers.count;
    outliers.top.push_back(
        {columns.places[i] / in_features, columns.places[i] % in_features, columns.values[i], ratio});
  }
  std::stable_sort(outliers.top.begin(), outliers.top.end(),
                   [](const OutlierColumn& a, const OutlierColumn& b) { return a.ratio > b.ratio; });
  outliers.top.resize(std::min(outliers.top.size(), kShownOutliers));
  return outliers;
}

std::optional<double> score_of(const ImatrixEntry& entry) {
  if (!sensitivity_measured(entry) || entry.sensitivity.scores.empty()) return std::nullopt;
  const auto matrices = static_cast<double>(entry.sensitivity.scores.size());
  return sum_of(entry.sensitivity.scores) / matrices / static_cast<double>(entry.sensitivity.samples);
}

std::optional<double> kurtosis_of(const ImatrixEntry& entry) {
  const double square = sum_of(entry.sum_sq);
  if (entry.sum_quad.empty() || !(square > 0)) return std::nullopt;
  double values = 0;  // tokens x columns
  for (const std::uint64_t count : entry.counts)
    values += static_cast<double>(count) * static_cast<double>(entry.in_features);
  return sum_of(entry.sum_quad) * values / (square * square);
}

std::optional<RelativeError> relative_error(const ImatrixEntry& entry) {
  if (entry.sum_quad.empty()) return std::nullopt;
  std::vector<double> errors;
  for (std::uint64_t mat = 0; mat < entry.n_mat; ++mat) {
    const auto tokens = static_cast<double>(entry.counts.at(mat));
    for (std::uint64_t j = mat * entry.in_features; j < (mat + 1) * entry.in_features; ++j) {
      if (!(tokens > 0 && entry.sum_sq[j] > 0)) continue;
      const double mean = entry.sum_sq[j] / tokens;
      const double variance = std::max(0.0, entry.sum_quad[j] / tokens - mean * mean);
      errors.push_back(std::sqrt(variance / tokens) / mean);
    }
  }
  if (errors.empty()) return std::nullopt;
  return RelativeError{median_of(errors), p95_of(errors)};
}

std::optional<ExpertCoverage> expert_coverage(const ImatrixEntry& entry) {
  if (entry.n_mat <= 1) return std::nullopt;
  return ExpertCoverage{entry.counts,
                        static_cast<std::uint64_t>(std::count(entry.counts.begin(), entry.counts.end(), 0U))};
}

}  // namespace llmq
