// An axis of a drawing: its range, its ticks, and where a figure stands on it. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <vector>

namespace llmq {

/// Powers of ten times 1, 2 and 5 from the last at or below `min` to the first at or above `max`; of a wide
/// range the powers alone. Both positive.
std::vector<double> log_ticks(double min, double max);
/// Multiples of 1, 2 or 5 times a power of ten around [min, max], four to nine of them.
std::vector<double> linear_ticks(double min, double max);

struct Axis {
  double low = 0, high = 1;
  std::vector<double> ticks;
  bool log = false;
  bool zero_low = false;  ///< of a logarithmic one: its low end, the first tick, stands for 0

  /// From 0 to 1; figures outside stand at its ends.
  double place(double figure) const;
};

/// Its ends are ticks. Logarithmic if asked for and any figure is positive; where some are not, they stand at
/// its low end, apart from the smallest positive one.
Axis make_axis(const std::vector<double>& figures, bool log);
/// Linear; its ends are those of the figures.
Axis make_tight_axis(const std::vector<double>& figures);

}  // namespace llmq
