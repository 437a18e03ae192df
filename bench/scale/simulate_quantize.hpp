// Wall time of `quantize`: plan, units, checksums to rank 0, every byte read back, sync, publish.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "scale/run_start.hpp"

namespace llmq::scale {

struct QuantizeJob {
  std::string level = "Q4_K_M";
  bool gather = false;
};

/// @throws Error(invalid_arguments) for an unknown level or a type without a measured encoder.
Prediction predict_quantize(const Scene& scene, const QuantizeJob& job);

}  // namespace llmq::scale
