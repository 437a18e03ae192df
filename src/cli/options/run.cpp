#include <cstdlib>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

#include "cli/environment.hpp"
#include "cli/options/commands.hpp"
#include "cli/options/value_types.hpp"

namespace llmq::cli {
namespace {

class RunParser final : public CommandParser {
 public:
  explicit RunParser(CommandTree tree);
  void finish(Invocation& invocation) const override;

 private:
  std::vector<std::string> settings_;
  std::string checkpoint_directory_;
};

RunParser::RunParser(CommandTree tree)
    : CommandParser(
          *tree.root.add_subcommand("run", "Run the steps of a job file; finished steps are skipped")) {
  JobRunOptions& options = tree.invocation.run;
  app()
      .add_option("JOB", options.file, "Job file (JSON), see docs/formats/job.md and jobs/")
      ->type_name(kFileValue)
      ->required();
  app().add_flag("--dry-run", options.dry_run, "Print what would run and why; write nothing");
  app()
      .add_option("--set", settings_, "Give a variable of the job another value; repeatable")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->take_all();
  app()
      .add_option(
          "--checkpoint-dir", checkpoint_directory_,
          "Where unfinished steps and the job's state are kept (default: $LLM_QUANTIZE_CHECKPOINT_DIR or "
          "./.checkpoint)")
      ->type_name(kDirectoryValue);
  app()
      .add_option(
          "--checkpoint-interval", options.checkpoint_interval_seconds,
          "Seconds between checkpoints of a step; 0: after every unit (default: at most 5 % of the time)")
      ->check(CLI::NonNegativeNumber);
  app().footer(
      "Examples:\n"
      "  llm-quantize run jobs/single-level.json --set model=./Llama-3.2-1B\n"
      "  llm-quantize run jobs/sweep.json --dry-run\n"
      "  mpirun -n 4 llm-quantize run jobs/sweep.json     run it again to continue where it stopped");
}

void RunParser::finish(Invocation& invocation) const {
  invocation.command = Command::run;
  JobRunOptions& options = invocation.run;
  for (const std::string& setting : settings_) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw Error(ExitCode::invalid_arguments, fmt::format("--set {}: expected NAME=VALUE", setting),
                  "For example --set model=./Llama-3.2-1B");
    }
    options.variables[setting.substr(0, equals)] = setting.substr(equals + 1);  // the last one wins
  }
  if (const char* place = std::getenv("LLM_QUANTIZE_CHECKPOINT_DIR"); place != nullptr && *place != '\0')
    options.checkpoint_directory = place;
  options.profile_directory = profile_directory();
  if (!checkpoint_directory_.empty()) options.checkpoint_directory = checkpoint_directory_;
}

}  // namespace

std::unique_ptr<CommandParser> add_run(CommandTree tree) { return std::make_unique<RunParser>(tree); }

}  // namespace llmq::cli
