// A figure of every tensor as a map of layers (down) and roles (across), coloured by its logarithm or by
// itself. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace llmq {

struct HeatCell {
  std::uint32_t layer = 0;
  std::string role;
  std::string name;  ///< of the tensor, for the cell's title
  std::optional<double>
      value;  ///< none: not measured, the place stays empty. 0 has a colour of its own, below the scale
};

struct HeatMap {
  std::string id;
  std::string label;  ///< what it shows, plain text; also the unit in the cells' titles
  std::uint32_t n_layers = 0;
  std::vector<std::string> roles;  ///< columns
  std::vector<HeatCell> cells;     ///< those beyond n_layers are left out
  bool linear = false;             ///< scale of the colours
};

/// SVG with a legend. Each cell has a <title> with the tensor's name and figure.
std::string draw(const HeatMap& map);

/// Of 0 .. kHeatSteps - 1: where `value` stands between `min` and `max`. All positive unless linear.
inline constexpr int kHeatSteps = 10;
int heat_step(double value, double min, double max, bool linear = false);

}  // namespace llmq
