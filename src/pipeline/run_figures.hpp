// What a finished run says of itself. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include "llmq/pipeline/quantize.hpp"
#include "llmq/pipeline/stage_context.hpp"

#include "pipeline/unit_output.hpp"

namespace llmq {

/// Collective: units, timelines, times and memory into the result; times and the end into the log.
void finish_run(const StageContext& context, const UnitOutput& output,
                std::chrono::steady_clock::time_point start, QuantizeResult& result);

}  // namespace llmq
