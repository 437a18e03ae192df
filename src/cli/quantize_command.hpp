// `quantize` once it is parsed: the file, and the report of its quality when one is asked for.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "llmq/pipeline/quantize.hpp"

namespace llmq::cli {

/// Collective. With a quality report the file is judged against the model on the built-in evaluation text,
/// and the report is written beside it as NAME.qreport. @throws what run_quantize and run_quality throw;
/// before any work Error(invalid_arguments) when the report cannot be written.
QuantizeResult run_quantize_command(const StageContext& context, const QuantizeOptions& options);

/// "Quantization quality degradation (45%) exceeds threshold (20%)"; empty: it does not, or was not judged.
std::string degradation(const QuantizeResult& result);

}  // namespace llmq::cli
