// Drawings of the quality pages, each one SVG. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "llmq/report/quality_report.hpp"

namespace llmq {

struct TradeoffPoint {
  std::string name;
  double size = 0;
  MeanError kld;
};

/// What sizes are, and how they are written.
struct SizeScale {
  std::string label;
  std::function<std::string(double)> words;
};

/// True for a point that another one beats: neither larger nor further off, and better in one of the two.
std::vector<bool> find_dominated(const std::vector<TradeoffPoint>& points);

/// Size against KL divergence with error bars; the Pareto line joins what nothing beats. At least one point.
std::string draw_tradeoff(const std::vector<TradeoffPoint>& points, const SizeScale& scale);

struct DivergenceLine {
  std::string name;
  std::vector<PositionDivergence> parts;
};

/// KL divergence over the position in a chunk, a line a model with a band of its standard error. Empty when
/// there are no parts.
std::string draw_positions(const std::vector<DivergenceLine>& lines);

}  // namespace llmq
