// Rank 0 keeps the books and says which step comes next; all ranks run it together.
#include "llmq/pipeline/job_run.hpp"

#include <chrono>
#include <cstdlib>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/file.hpp"
#include "llmq/pipeline/hub_model.hpp"
#include "llmq/pipeline/interrupt.hpp"

#include "pipeline/job/job_ledger.hpp"

namespace llmq {
namespace {

using namespace llmq::job;

constexpr std::uint64_t kMaxJobBytes = std::uint64_t{1} << 20;
constexpr const char* kContinue = "Run the same command again: finished steps are kept";

Job read_job(const JobRunOptions& options) {
  const int code = static_cast<int>(ExitCode::invalid_arguments);
  if (std::filesystem::is_directory(options.file)) {
    throw Error(ExitCode::invalid_arguments, fmt::format("{}: is a directory", options.file.string()),
                "Give a job file, such as jobs/sweep.json");
  }
  std::string text;
  try {
    text = read_file(options.file, kMaxJobBytes, code);
  } catch (const FormatError& error) {
    throw Error(ExitCode::invalid_arguments, error.what(), "A job is a small JSON document");
  }
  JobSurroundings surroundings;
  surroundings.variables = options.variables;
  surroundings.environment = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  return parse_job(text, options.file, surroundings);
}

/// A ticket as text, for the other ranks; nothing: the empty text.
std::string encode(const std::optional<StepTicket>& ticket) {
  if (!ticket) return {};
  nlohmann::json document = {{"id", ticket->step.id},           {"type", ticket->step.type},
                             {"pointer", ticket->step.pointer}, {"output", ticket->step.output.string()},
                             {"overwrite", ticket->overwrite},  {"options", nlohmann::json::array()}};
  for (const JobOption& option : ticket->step.options)
    document["options"].push_back({{"name", option.name}, {"values", option.values}, {"flag", option.flag}});
  return document.dump();
}

std::optional<StepTicket> decode(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const nlohmann::json document = nlohmann::json::parse(text);
  StepTicket ticket{
      {document["id"], document["type"], document["pointer"], {}, {}, document["output"].get<std::string>()},
      document["overwrite"]};
  for (const auto& option : document["options"])
    ticket.step.options.push_back({option["name"], option["values"], option["flag"], ""});
  return ticket;
}

class JobRun {
 public:
  JobRun(const StageContext& context, const JobRunOptions& options, StepExecutor& executor)
      : context_(context), options_(options), executor_(executor) {}

  JobRunResult run() {
    on_root("read the job",
            [&] { ledger_ = std::make_unique<JobLedger>(read_job(options_), options_, context_.log); });
    bring_models();
    on_root("check the job", [&] {
      ledger_->check(executor_);
      if (options_.dry_run) return ledger_->plan();
      ledger_->lock();
    });
    if (!options_.dry_run) {
      while (const std::optional<StepTicket> ticket = next()) execute(*ticket);
      on_root("finish the job", [&] { ledger_->throw_if_failed(); });
    }
    return ledger_ ? ledger_->take_result(options_.file, options_.dry_run) : JobRunResult{};
  }

 private:
  template <typename Work>
  void on_root(std::string_view stage, Work work) const {
    context_.comm.together(stage, [&] {
      if (context_.comm.is_root()) work();
    });
  }

  /// Collective: what the steps take from a hub is here before any of them is judged.
  void bring_models() const {
    std::vector<JobStep> models;
    if (ledger_) models = ledger_->hub_models();
    std::uint64_t count = models.size();
    context_.comm.broadcast(std::span(&count, 1), 0, "share the models of a hub");
    for (std::uint64_t index = 0; index < count; ++index) {
      std::string text = ledger_ ? encode(StepTicket{models[index], false}) : std::string();
      context_.comm.broadcast(text, 0, "share the models of a hub");
      const StepTicket ticket = *decode(text);
      naming_step(options_.file.string(), ticket.step,
                  [&] { (void)local_model(context_, ticket.step.value("model")); });
    }
  }

  /// Collective: the next step to execute.
  std::optional<StepTicket> next() {
    const std::uint64_t stop = interrupt_requested() ? 1 : 0;
    if (context_.comm.all_reduce_value(stop, comm::ReduceOp::max, "look for signals") != 0)
      throw Error(ExitCode::interrupted, "interrupted between two steps", kContinue);
    std::optional<StepTicket> ticket;
    on_root("choose the next step", [&] { ticket = ledger_->next(); });
    std::string text = encode(ticket);
    context_.comm.broadcast(text, 0, "share the next step");
    return decode(text);
  }

  void execute(const StepTicket& ticket) {
    const auto start = std::chrono::steady_clock::now();
    StepOutcome outcome;
    try {
      naming_step(options_.file.string(), ticket.step, [&] { outcome = execute_command(ticket); });
    } catch (const Error& error) {
      if (error.code() == ExitCode::interrupted) throw Error(ExitCode::interrupted, error.what(), kContinue);
      // Only where all ranks are known to stand at the same place may they go on with other steps.
      if (dynamic_cast<const AgreedError*>(&error) == nullptr) throw;
      if (ledger_) ledger_->fail(ticket.step, Communicator::describe_current_exception());
      return;
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    on_root("note the finished step", [&] { ledger_->finish(ticket.step, outcome, seconds); });
  }

  /// With the step's own checkpoint where there is one; one that is of no use costs its work, not the run.
  StepOutcome execute_command(const StepTicket& ticket) {
    StepMode mode;
    mode.checkpoints.directory = options_.checkpoint_directory;
    mode.checkpoints.interval_seconds = options_.checkpoint_interval_seconds;
    mode.checkpoints.continue_found = true;
    mode.overwrite = ticket.overwrite;
    try {
      return executor_.execute(context_, ticket.step, mode);
    } catch (const AgreedError& error) {
      if (error.code() != ExitCode::checkpoint) throw;
      context_.log.warn(
          fmt::format("step {} starts over without its checkpoint: {}", ticket.step.id, error.what()));
    }
    mode.checkpoints.continue_found = false;
    return executor_.execute(context_, ticket.step, mode);
  }

  const StageContext& context_;
  const JobRunOptions& options_;
  StepExecutor& executor_;
  std::unique_ptr<JobLedger> ledger_;  ///< rank 0 only
};

}  // namespace

JobRunResult run_job(const StageContext& context, const JobRunOptions& options, StepExecutor& executor) {
  return JobRun(context, options, executor).run();
}

}  // namespace llmq
