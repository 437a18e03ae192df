// A figure of every tensor as a map of layers (down) and roles (across), coloured by its logarithm.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "llmq/report/analyze_report.hpp"

namespace llmq {

struct HeatMap {
  std::string id;
  std::string label;  ///< what it shows, plain text; also the unit in the cells' titles
  /// None: not measured, the place stays empty. 0 has a colour of its own, below the scale.
  std::function<std::optional<double>(const TensorReport&)> value;
};

/// SVG with a legend. Each cell has a <title> with the tensor's name and figure.
std::string draw(const HeatMap& map, const AnalyzeReport& report);

/// Of 0 .. kHeatSteps - 1: where `value` stands between `min` and `max` on a logarithmic scale. All positive.
inline constexpr int kHeatSteps = 10;
int heat_step(double value, double min, double max);

}  // namespace llmq
