// The steps of a job as the commands behind them: each becomes a command line, is parsed like one, and gives
// the command's own JSON. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "llmq/pipeline/job_run.hpp"

namespace llmq::cli {

/// The words that would do the step on a command line, without the program's name.
/// Example: {"quantize", "--quant-level=Q4_0", "--", "./model", "gguf"}.
std::vector<std::string> command_words(const JobStep& step);

class CommandExecutor final : public StepExecutor {
 public:
  void check(const JobStep& step) const override;
  StepOutcome execute(const StageContext& context, const JobStep& step, const StepMode& mode) override;
};

}  // namespace llmq::cli
