// What a finished run says of itself. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "llmq/pipeline/quantize.hpp"
#include "llmq/pipeline/stage_context.hpp"

#include "pipeline/unit_output.hpp"

namespace llmq {

/// Collective: units, timelines, time by phase and memory into the result; times into the log.
void add_run_figures(const StageContext& context, const UnitOutput& output, QuantizeResult& result);

}  // namespace llmq
