// Models of a prediction: shapes without weights. The plan of a shape is made by the stage's own planner, so
// units, types and offsets are those of a real run. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "llmq/model/source.hpp"
#include "llmq/model/spec.hpp"
#include "llmq/pipeline/quantize_plan.hpp"

namespace llmq::scale {

struct Shape {
  ModelSpec spec;
  std::uint32_t files = 1;  ///< of the checkpoint
};

/// A preset ("280m", "8b", "70b") or the path of a config.json (one file).
/// @throws Error(invalid_arguments | ...).
Shape shape_of(const std::string& name);
std::vector<std::string> preset_names();

/// A BF16 checkpoint of this shape that has no weights to read.
std::unique_ptr<ModelSource> source_of(const Shape& shape);

/// What a run of `analyze` moves and computes in one layer.
struct LayerWork {
  double weights = 0;
  double columns = 0;             ///< of all matmul inputs
  double statistic_columns = 0;   ///< columns as they stand in an .imatrix: once per weight
  double matmul_flops = 0;        ///< of one sample
  double attention_flops = 0;     ///< of one sample, causal half
  double elementwise_values = 0;  ///< of one sample
};
LayerWork layer_work(const ModelSpec& spec, double ctx);

}  // namespace llmq::scale
