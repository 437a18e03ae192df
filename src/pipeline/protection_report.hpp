// What became of protected weights: measured from the bytes of the written file.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "llmq/model/source.hpp"
#include "llmq/pipeline/quantize.hpp"
#include "llmq/pipeline/quantize_plan.hpp"
#include "llmq/pipeline/stage_context.hpp"

namespace llmq {

/// A protected weight and what it decodes as.
struct MeasuredWeight {
  std::uint32_t tensor = 0;  ///< of the plan
  std::uint64_t index = 0;   ///< flat, in GGUF's order of rows
  float weight = 0, decoded = 0;
};

/// Collective: decodes the protected weights of finished files. Rank 0 gets all, in order of the plan; the
/// others nothing.
/// @param readers  ranks that can read the files, from rank 0 on
std::vector<MeasuredWeight> measure_protected(const StageContext& context, const ModelSource& source,
                                              const QuantizePlan& plan,
                                              const std::vector<std::filesystem::path>& files, int readers);

/// What the plan says of protection; errors are 0.
SuperWeightProtection describe_protection(const QuantizePlan& plan, const Protection& protection);
/// Adds the errors of measured weights.
void add_errors(const QuantizePlan& plan, const std::vector<MeasuredWeight>& measured,
                SuperWeightProtection& described);

}  // namespace llmq
