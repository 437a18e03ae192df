// `quality report` and `quality compare` once they are parsed: run, warn above the threshold, write -o.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "llmq/pipeline/quality.hpp"

#include "cli/app.hpp"

namespace llmq::cli {

/// Collective. The result is complete on rank 0, and the file of -o is written.
/// @throws Error with the contract's codes; Error(invalid_arguments) before any work when -o cannot be
/// written.
QualityResult run_quality_report(const StageContext& context, const Invocation& invocation);
CompareResult run_quality_compare(const StageContext& context, const Invocation& invocation);

}  // namespace llmq::cli
