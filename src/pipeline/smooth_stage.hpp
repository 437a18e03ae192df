// The measuring half of a smoothquant run: ranges, scales of every mapping, and whether they will do.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "llmq/model/source.hpp"
#include "llmq/pipeline/quantize.hpp"
#include "llmq/pipeline/stage_context.hpp"
#include "llmq/smoothquant/smoothed_source.hpp"

#include "pipeline/w8a8_plan.hpp"

namespace llmq {

/// All that is needed to write the model.
struct SmoothedModel {
  Scalings scalings;
  std::map<std::string, float> input_scales;  ///< with fixed activation scales, by GGUF name of the weight
};

/// Collective, the same on every rank. What is found goes into `result` as well.
/// @throws Error(imatrix) for one that is not this model's, Error(smoothquant) when a mapping cannot be
/// represented, Error(calibration_data) for texts, Error(importance) for NaN in the pass.
SmoothedModel smooth_model(const StageContext& context, const QuantizeOptions& options,
                           const ModelSource& source, const KeptWeights& kept,
                           const CheckpointOptions& checkpoints, SmoothQuantResult& result);

}  // namespace llmq
