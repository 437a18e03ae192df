// Running a job: which steps have to run, what became of them, and what is kept so that the next run of the
// same job does only what is left. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "llmq/pipeline/job.hpp"
#include "llmq/pipeline/stage_context.hpp"

namespace llmq {

struct JobRunOptions {
  std::filesystem::path file;
  std::map<std::string, std::string> variables;  ///< --set
  bool dry_run = false;
  std::filesystem::path checkpoint_directory = ".checkpoint";  ///< of the steps; the job's state is here too
  double checkpoint_interval_seconds = -1;
  std::filesystem::path profile_directory;  ///< where steps find profiles by name, beside the presets
};

/// How a step is started.
struct StepMode {
  CheckpointOptions checkpoints;
  bool overwrite = false;  ///< the output is an earlier one of this step
};

struct StepOutcome {
  std::string result;    ///< rank 0: the command's JSON document
  bool resumed = false;  ///< from a checkpoint
};

/// What knows the commands behind the step types; the job runs through it.
class StepExecutor {
 public:
  virtual ~StepExecutor() = default;
  /// Local, before any step runs: everything about the options that the command can judge without the inputs.
  /// @throws Error with the contract's codes.
  virtual void check(const JobStep& step) const = 0;
  /// Collective. @throws Error with the contract's codes.
  virtual StepOutcome execute(const StageContext& context, const JobStep& step, const StepMode& mode) = 0;
};

enum class StepStatus { run, resumed, skipped, would_run, up_to_date };

struct StepReport {
  std::string id;
  std::string type;
  StepStatus status = StepStatus::run;
  std::string reason;  ///< why it runs or need not: "never finished", "ctx changed from 512 to 256", "nothing
                       ///< changed"
  std::filesystem::path output;
  double seconds = 0;
  std::string
      result;  ///< the command's JSON document, of a skipped step that of the run which made the output
};

struct JobRunResult {
  std::string job;
  std::filesystem::path file;
  bool dry_run = false;
  std::vector<StepReport> steps;  ///< in the order they run
};

/// Collective. The result is complete on rank 0. Nothing runs before the whole job is checked.
/// @throws JobError(invalid_arguments); Error(checkpoint) when the job runs elsewhere; Error(interrupted)
/// with the finished steps kept; the error of a failed step, its name in front, after what does not need it
/// has run.
JobRunResult run_job(const StageContext& context, const JobRunOptions& options, StepExecutor& executor);

}  // namespace llmq
