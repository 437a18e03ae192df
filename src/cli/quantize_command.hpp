// `quantize` once it is parsed: the file, and what is asked about it when it is done: the report of its
// quality, the check of its coherence. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "llmq/core/error.hpp"
#include "llmq/pipeline/quantize.hpp"

namespace llmq::cli {

/// Collective. With a quality report the file is judged against the model on the built-in evaluation text,
/// and the report is written beside it as NAME.qreport; with a coherence check both continue the built-in
/// prompts.
/// @throws what run_quantize, run_quality and run_coherence throw; before any work Error(invalid_arguments)
/// when the report cannot be written or a threshold is none, Error(out_of_memory) when the check would not
/// fit.
QuantizeResult run_quantize_command(const StageContext& context, const QuantizeOptions& options);

/// What the judges say of a file that is finished.
struct Verdict {
  ExitCode code = ExitCode::ok;
  std::string message;
  std::string suggestion;
};

/// "Quantization quality degradation (45%) exceeds threshold (20%)" (code 11), "Model output coherence check
/// failed (score: 0.23)" (12), or both, with code 11. Knows on rank 0 only.
Verdict verdict(const QuantizeResult& result);

}  // namespace llmq::cli
