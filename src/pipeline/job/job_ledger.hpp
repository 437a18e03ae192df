// Rank 0's books of a job: what is checked before anything runs, what has to run, what has been done.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "llmq/comm/communicator.hpp"
#include "llmq/pipeline/job.hpp"
#include "llmq/pipeline/job_run.hpp"

#include "pipeline/job/job_identity.hpp"
#include "pipeline/job/job_state.hpp"

namespace llmq::job {

/// A step to execute now.
struct StepTicket {
  JobStep step;
  bool overwrite = false;  ///< the output is an earlier one of this step
};

class JobLedger {
 public:
  JobLedger(Job job, const JobRunOptions& options, Log& log);

  /// Models that no step writes and that look like hub ids, each once, as a step of that one option.
  std::vector<JobStep> hub_models() const;
  /// All that can be judged before work starts. @throws the first error, the step's name in front.
  void check(const StepExecutor& executor);
  /// What a run would do, without doing it.
  void plan();

  /// Keeps other runs of the job out.
  void lock() { state_.lock(); }
  /// The next step that has to run, noted as started; up-to-date ones before it are passed over.
  std::optional<StepTicket> next();
  void finish(const JobStep& step, const StepOutcome& outcome, double seconds);
  void fail(const JobStep& step, const LocalStatus& status);
  /// After the last step: @throws Error of the first failed step, which names all that failed or did not run.
  void throw_if_failed() const;

  JobRunResult take_result(const std::filesystem::path& file, bool dry_run);

 private:
  struct Failure {
    std::string step;
    LocalStatus status;
  };

  void check_step(const JobStep& step, const StepExecutor& executor);
  void check_place(const JobStep& step) const;
  /// Paths that are read and that no step writes.
  std::set<std::string> external_inputs() const;
  bool written_by_job(const std::string& path) const;
  /// Why the step has to run; empty: it is up to date.
  std::string reason_to_run(const JobStep& step, const Fields& fields);
  void report(const JobStep& step, StepStatus status, std::string reason, const StepRecord* record);

  Job job_;
  Log& log_;
  JobState state_;
  ContentIndex contents_;
  std::set<std::string> outputs_;  ///< of all steps, absolute
  std::size_t position_ = 0;       ///< of the step to look at next
  std::string reason_;             ///< of the step that runs now
  std::vector<StepReport> reports_;
  std::vector<Failure> failures_;
  std::vector<std::string> not_run_;  ///< because of a failure
};

/// Runs `work`, whose errors come out with the step in front.
void naming_step(std::string_view file, const JobStep& step, const std::function<void()>& work);

}  // namespace llmq::job
