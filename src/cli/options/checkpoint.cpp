#include "cli/options/checkpoint.hpp"

#include <cstdlib>

#include "llmq/core/error.hpp"

#include "cli/options/value_types.hpp"

namespace llmq::cli {

void CheckpointParser::add_options(CLI::App& command) {
  command.add_flag("--no-checkpoints", no_checkpoints_, "Keep nothing for --resume");
  command
      .add_option("--checkpoint-dir", directory_,
                  "Where unfinished work is kept (default: $LLM_QUANTIZE_CHECKPOINT_DIR or ./.checkpoint)")
      ->type_name(kDirectoryValue);
  command.add_option("--resume", resume_, "Continue an interrupted run from this checkpoint directory")
      ->type_name(kDirectoryValue);
  command
      .add_option("--checkpoint-interval", interval_seconds_,
                  "Seconds between checkpoints; 0: after every unit (default: at most 5 % of the time)")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber);
}

CheckpointOptions CheckpointParser::options() const {
  CheckpointOptions options;
  options.enabled = !no_checkpoints_;
  if (const char* place = std::getenv("LLM_QUANTIZE_CHECKPOINT_DIR"); place != nullptr && *place != '\0') {
    options.directory = place;
  }
  if (!directory_.empty()) options.directory = directory_;
  if (!resume_.empty()) options.resume = resume_;
  options.interval_seconds = interval_seconds_;
  if (options.resume && !options.enabled) {
    throw Error(ExitCode::invalid_arguments, "--resume and --no-checkpoints exclude each other",
                "Give one of them");
  }
  return options;
}

}  // namespace llmq::cli
