// One row of the grid of analyze with L > 1: micro-batches pass from group to group by blocking messages, and
// the ranks of a node share its cores. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "scale/machine.hpp"

namespace llmq::scale {

struct PipelineOutcome {
  double seconds = 0;          ///< until the last rank is done
  double compute_seconds = 0;  ///< thread-seconds
  double message_seconds = 0;  ///< thread-seconds of both ends, waiting for the other end not counted
};

/// What group g does with micro-batch b.
struct PipelineRules {
  int groups = 1;
  int rows = 1;  ///< pipelines side by side; rank = row x groups + group
  /// Samples of micro-batch b of a row (0: the row has no such batch).
  std::function<int(int row, int batch)> samples;
  int batches = 0;                                               ///< of the longest row
  std::vector<double> seconds_per_sample;                        ///< by group
  std::function<double(int rank, int samples)> message_seconds;  ///< from rank to rank + 1
};

PipelineOutcome simulate_pipeline(const Machine& machine, const Layout& layout, const PipelineRules& rules);

}  // namespace llmq::scale
