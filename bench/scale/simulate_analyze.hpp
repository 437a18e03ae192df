// Wall time of `analyze` on an L x S grid: L = 1 walks the layers, reading one while another computes; L > 1
// keeps layers resident and passes states. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "scale/run_start.hpp"

namespace llmq::scale {

struct AnalyzeJob {
  int samples = 512;
  int ctx = 512;
  int layer_groups = 1;
  double text_bytes = 0;  ///< of the calibration text; 0: what the samples need, at 3.5 bytes a token
};

/// @throws Error(invalid_arguments) when the grid does not fit.
Prediction predict_analyze(const Scene& scene, const AnalyzeJob& job);

/// Seconds of one sample in one layer on one thread.
double sample_seconds(const Scene& scene, const AnalyzeJob& job);

}  // namespace llmq::scale
