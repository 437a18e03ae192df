#include "pipeline/job/job_ledger.hpp"

#include <algorithm>
#include <unistd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/formats/gguf_split.hpp"
#include "llmq/hub/id.hpp"

#include "pipeline/content_hash.hpp"
#include "pipeline/job/job_steps.hpp"

namespace llmq::job {
namespace {

namespace fs = std::filesystem;

std::string absolute_text(const fs::path& path) { return fs::absolute(path).lexically_normal().string(); }

/// "quant-level changed from Q8_0 to Q4_0", "content of imatrix changed", "text is new"; the first
/// difference.
std::string difference(const Fields& before, const Fields& now) {
  const auto value = [](const Fields& fields, const std::string& name) -> const std::string* {
    const auto found =
        std::find_if(fields.begin(), fields.end(), [&](const auto& one) { return one.first == name; });
    return found == fields.end() ? nullptr : &found->second;
  };
  for (const auto& [name, text] : now) {
    const std::string* old = value(before, name);
    if (old == nullptr) return fmt::format("{} is new", name);
    if (*old == text) continue;
    const bool content = text.find("sha256:") != std::string::npos;
    return content ? fmt::format("content of {} changed", name)
                   : fmt::format("{} changed from {} to {}", name, *old, text);
  }
  for (const auto& [name, text] : before) {
    if (value(now, name) == nullptr) return fmt::format("{} is no longer given", name);
  }
  return {};
}

std::vector<std::string> input_paths(const JobStep& step) {
  std::vector<std::string> paths;
  for (const JobOption& option : step.options) {
    const OptionRole role = role_of(step, option.name);
    if (role == OptionRole::plain || role == OptionRole::place) continue;
    paths.insert(paths.end(), option.values.begin(), option.values.end());
  }
  return paths;
}

/// The step with only those inputs that are there before the job runs.
JobStep without_job_outputs(JobStep step, const std::set<std::string>& outputs) {
  for (JobOption& option : step.options) {
    const OptionRole role = role_of(step, option.name);
    if (role == OptionRole::plain || role == OptionRole::place) continue;
    std::erase_if(option.values,
                  [&](const std::string& path) { return outputs.contains(absolute_text(path)); });
  }
  return step;
}

/// The step with the files that earlier steps have split where their outputs are named.
JobStep with_written_outputs(JobStep step, const std::vector<JobStep>& steps) {
  for (const JobStep& earlier : steps) {
    const fs::path written = written_output(earlier);
    if (written == earlier.output) continue;
    for (JobOption& option : step.options) {
      const OptionRole role = role_of(step, option.name);
      if (role == OptionRole::plain || role == OptionRole::place) continue;
      for (std::string& path : option.values) {
        if (absolute_text(path) == absolute_text(earlier.output)) path = written.string();
      }
    }
  }
  return step;
}

}  // namespace

void naming_step(std::string_view file, const JobStep& step, const std::function<void()>& work) {
  const auto named = [&](const Error& error) {
    return fmt::format("{}: {}: step \"{}\" ({}): {}", file, step.pointer, step.id, step.type, error.what());
  };
  try {
    work();
  } catch (const JobError&) {
    throw;  // says where already
  } catch (const AgreedError& error) {
    throw AgreedError(error.code(), named(error), error.suggestion());
  } catch (const Error& error) {
    throw Error(error.code(), named(error), error.suggestion());
  }
}

JobLedger::JobLedger(Job job, const JobRunOptions& options, Log& log)
    : job_(std::move(job)),
      log_(log),
      state_(options.checkpoint_directory, job_.name, log),
      contents_(options.profile_directory) {
  for (const JobStep& step : job_.steps) {
    if (!step.output.empty()) outputs_.insert(absolute_text(step.output));
  }
}

std::vector<JobStep> JobLedger::hub_models() const {
  std::vector<JobStep> found;
  std::set<std::string> seen;
  for (const JobStep& step : job_.steps) {
    const JobStep outside = without_job_outputs(step, outputs_);
    for (const JobOption& option : outside.options) {
      if (role_of(step, option.name) != OptionRole::model) continue;
      for (const std::string& value : option.values) {
        if (!hub::remote_model_id(value) || !seen.insert(value).second) continue;
        found.push_back({step.id, step.type, step.pointer, {}, {}, {}});
        found.back().options.push_back({"model", {value}, false, ""});
      }
    }
  }
  return found;
}

void JobLedger::check(const StepExecutor& executor) {
  for (const JobStep& step : job_.steps) {
    if (const std::string part = unsupported_part(step); !part.empty()) {
      throw JobError(job_.file, step.pointer, fmt::format("step \"{}\": {}; no step was run", step.id, part),
                     "Take the step out, or wait for a version that has it",
                     ExitCode::unsupported_conversion);
    }
  }
  for (const JobStep& step : job_.steps) naming_step(job_.file, step, [&] { check_step(step, executor); });
}

void JobLedger::check_step(const JobStep& step, const StepExecutor& executor) {
  executor.check(step);
  (void)step_fields(without_job_outputs(step, outputs_), contents_);  // every input is there and sound
  if (!step.output.empty()) check_place(step);
}

void JobLedger::check_place(const JobStep& step) const {
  fs::path directory = fs::absolute(step.output).parent_path();
  while (!fs::exists(directory)) directory = directory.parent_path();
  if (!fs::is_directory(directory) || ::access(directory.c_str(), W_OK | X_OK) != 0) {
    throw Error(ExitCode::invalid_arguments, fmt::format("{}: directory is not writable", directory.string()),
                "Choose another output");
  }
  for (const std::string& path : external_inputs()) {
    if (!is_same_file(step.output, path)) continue;
    throw Error(ExitCode::invalid_arguments,
                fmt::format("{}: output is the same file as the input {}", step.output.string(), path),
                "Choose another output");
  }
  if (fs::is_directory(step.output) && !writes_directory(step)) {
    throw Error(ExitCode::invalid_arguments, fmt::format("{}: is a directory", step.output.string()),
                "Choose another output");
  }
  const bool keeps_existing = step.type == "quantize" || step.type == "profile";
  if (!keeps_existing || !fs::exists(written_output(step)) || step.find("force") != nullptr) return;
  if (written_by_job(absolute_text(step.output))) return;
  throw Error(
      ExitCode::invalid_arguments,
      fmt::format("{}: exists already and was not written by this job", written_output(step).string()),
      step.type == "profile" ? "Move it away, or give the step another output"
                             : "Move it away, give the step another output, or \"force\": true");
}

std::set<std::string> JobLedger::external_inputs() const {
  std::set<std::string> paths;
  for (const JobStep& step : job_.steps) {
    for (const std::string& path : input_paths(step)) {
      if (!outputs_.contains(absolute_text(path))) paths.insert(path);
    }
  }
  return paths;
}

bool JobLedger::written_by_job(const std::string& path) const {
  return std::any_of(job_.steps.begin(), job_.steps.end(), [&](const JobStep& step) {
    const StepRecord* record = state_.find(step.id);
    return record != nullptr && record->output && record->output->path == path;
  });
}

std::string JobLedger::reason_to_run(const JobStep& step, const Fields& fields) {
  const StepRecord* record = state_.find(step.id);
  if (record == nullptr) return "not run before";
  if (const std::string change = difference(record->fields, fields); !change.empty()) return change;
  if (!record->finished) return "not finished";
  if (step.output.empty() != !record->output.has_value()) return "output is another file";
  if (step.output.empty()) return {};
  if (record->output->path != absolute_text(step.output)) return "output is another file";
  const fs::path output = written_output(step);
  if (writes_directory(step) ? !fs::is_directory(output) : !fs::is_regular_file(output))
    return "output is missing";
  for (const fs::path& file : gguf_files(output)) {
    if (!fs::exists(file)) return "a file of the output is missing";
  }
  if (output_bytes(output) != record->output->size_bytes ||
      contents_.output(output) != record->output->sha256) {
    return "output was changed";
  }
  return {};
}

void JobLedger::report(const JobStep& step, StepStatus status, std::string reason, const StepRecord* record) {
  reports_.push_back({step.id, step.type, status, std::move(reason), written_output(step),
                      record == nullptr ? 0 : record->seconds, record == nullptr ? "" : record->result});
}

void JobLedger::plan() {
  std::map<std::string, std::string> pending;  // output -> step that would write it
  for (const JobStep& step : job_.steps) {
    std::string reason;
    for (const std::string& path : input_paths(step)) {
      if (const auto found = pending.find(absolute_text(path)); found != pending.end() && reason.empty())
        reason = fmt::format("follows \"{}\"", found->second);
    }
    if (reason.empty())
      naming_step(job_.file, step, [&] {
        reason = reason_to_run(step, step_fields(with_written_outputs(step, job_.steps), contents_));
      });
    const bool runs = !reason.empty();
    if (runs && !step.output.empty()) pending[absolute_text(step.output)] = step.id;
    report(step, runs ? StepStatus::would_run : StepStatus::up_to_date, runs ? reason : "nothing changed",
           nullptr);
  }
}

std::optional<StepTicket> JobLedger::next() {
  for (; position_ < job_.steps.size(); ++position_) {
    const JobStep& step = job_.steps[position_];
    const auto gone = [&](const std::string& id) {
      return std::any_of(failures_.begin(), failures_.end(),
                         [&](const Failure& one) { return one.step == id; }) ||
             std::find(not_run_.begin(), not_run_.end(), id) != not_run_.end();
    };
    if (std::any_of(step.needs.begin(), step.needs.end(), gone)) {
      not_run_.push_back(step.id);
      continue;
    }
    std::string which =
        fmt::format("Step {}/{}: {} ({})", position_ + 1, job_.steps.size(), step.id, step.type);
    Fields fields;
    const JobStep located = with_written_outputs(step, job_.steps);
    naming_step(job_.file, step, [&] {
      fields = step_fields(located, contents_);
      reason_ = reason_to_run(step, fields);
    });
    if (reason_.empty()) {
      log_.status(which + " is up to date");
      report(step, StepStatus::skipped, "nothing changed", state_.find(step.id));
      continue;
    }
    log_.status(fmt::format("{}: {}", which, reason_));
    StepTicket ticket{located, false};
    StepRecord record;
    record.fields = std::move(fields);
    if (!step.output.empty()) {
      ticket.overwrite = written_by_job(absolute_text(step.output));
      record.output = OutputRecord{absolute_text(step.output), 0, ""};
    }
    state_.put(step.id, std::move(record));
    ++position_;
    return ticket;
  }
  return std::nullopt;
}

void JobLedger::finish(const JobStep& step, const StepOutcome& outcome, double seconds) {
  StepRecord record = *state_.find(step.id);
  record.finished = true;
  record.seconds = seconds;
  record.result = outcome.result;
  if (record.output) {
    const fs::path output = written_output(step);
    contents_.forget(output);
    record.output->size_bytes = output_bytes(output);
    record.output->sha256 = contents_.output(output);
  }
  state_.put(step.id, record);
  report(step, outcome.resumed ? StepStatus::resumed : StepStatus::run, reason_, &record);
}

void JobLedger::fail(const JobStep& step, const LocalStatus& status) {
  log_.status(fmt::format("Step {} failed: {}", step.id, status.message));
  failures_.push_back({step.id, status});
}

void JobLedger::throw_if_failed() const {
  if (failures_.empty()) return;
  std::vector<std::string> also;
  for (std::size_t i = 1; i < failures_.size(); ++i) also.push_back(failures_[i].step);
  std::string message = failures_.front().status.message;
  if (!also.empty()) message += fmt::format("; failed too: {}", fmt::join(also, ", "));
  if (!not_run_.empty()) message += fmt::format("; not run because of it: {}", fmt::join(not_run_, ", "));
  throw Error(static_cast<ExitCode>(failures_.front().status.exit_code), message,
              failures_.front().status.suggestion);
}

JobRunResult JobLedger::take_result(const fs::path& file, bool dry_run) {
  return {job_.name, file, dry_run, std::move(reports_)};
}

}  // namespace llmq::job
