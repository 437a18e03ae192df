// How importance is measured: one row of the table a method. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <optional>
#include <string_view>

namespace llmq {

enum class ImportanceMethod { activation, gradient, fisher };

struct MethodRow {
  ImportanceMethod method;
  std::string_view name;       ///< on the command line
  std::string_view long_name;  ///< in files and results
  bool needs_gradient;
  std::string_view statistic;  ///< what a column's importance is, in words
};

inline constexpr std::array kMethods = {
    MethodRow{ImportanceMethod::activation, "activation", "activation_magnitude", false, "mean a^2"},
    MethodRow{ImportanceMethod::gradient, "gradient", "gradient_sensitivity", true, "mean |g w|"},
    MethodRow{ImportanceMethod::fisher, "fisher", "fisher_information", true, "mean g^2"},
};

constexpr const MethodRow& row_of(ImportanceMethod method) noexcept {
  return kMethods[static_cast<std::size_t>(method)];
}

/// By its command-line name in lower case.
constexpr std::optional<ImportanceMethod> find_method(std::string_view name) noexcept {
  for (const MethodRow& row : kMethods) {
    if (row.name == name) return row.method;
  }
  return std::nullopt;
}

/// What a column's importance is by the method of this long name; files of other tools hold activations.
constexpr std::string_view statistic_of(std::string_view long_name) noexcept {
  for (const MethodRow& row : kMethods) {
    if (row.long_name == long_name) return row.statistic;
  }
  return row_of(ImportanceMethod::activation).statistic;
}

/// What one weight's gradient says, |g w| or g^2, in f64: neither product rounds or underflows.
inline double sensitivity_of(ImportanceMethod method, float gradient, float weight) noexcept {
  const auto g = static_cast<double>(gradient);
  return method == ImportanceMethod::fisher ? g * g : std::fabs(g * static_cast<double>(weight));
}

}  // namespace llmq
