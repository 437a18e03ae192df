#include "cli/command_line.hpp"

#include <fmt/format.h>

#include "llmq/core/error.hpp"

#include "cli/options/commands.hpp"

namespace llmq::cli {
namespace {

/// The text of the command that --help was asked of.
std::string help_of_asked(const CLI::App& app) {
  const CLI::App* asked = &app;
  while (!asked->get_subcommands().empty()) asked = asked->get_subcommands().front();
  return asked->help();
}

}  // namespace

CommandLine::CommandLine()
    : app_("Make large language models small without making them stupid.", "llm-quantize") {
  app_.fallthrough();
  app_.require_subcommand(1);
  app_.set_version_flag("--version", fmt::format("llm-quantize {}", LLMQ_VERSION));
  global_.add_options({app_, invocation_});
  for (const auto add : kCommands) commands_.push_back(add({app_, invocation_}));
  app_.footer(
      "Examples:\n"
      "  llm-quantize analyze ./model                     importance matrix ./model.imatrix\n"
      "  llm-quantize quantize ./model gguf -q Q4_K_M --imatrix model.imatrix\n"
      "  llm-quantize quality report ./model model-Q4_K_M.gguf\n"
      "  mpirun -n 4 llm-quantize analyze ./model         the same bytes on any number of ranks");
}

Invocation CommandLine::parse(int argc, const char* const* argv) {
  try {
    app_.parse(argc, argv);
  } catch (const CLI::Success&) {  // --help or --version
    invocation_.text =
        app_.count("--version") > 0 ? fmt::format("llm-quantize {}\n", LLMQ_VERSION) : help_of_asked(app_);
    return invocation_;
  } catch (const CLI::ParseError& error) {
    throw Error(ExitCode::invalid_arguments, error.what(),
                "See llm-quantize --help, or llm-quantize COMMAND --help");
  }
  global_.finish(invocation_.global);
  for (const auto& command : commands_) {
    if (command->chosen()) command->finish(invocation_);
  }
  if (invocation_.global.format == OutputFormat::csv && invocation_.command != Command::quality_compare) {
    throw Error(ExitCode::invalid_arguments, "--format csv is a form of quality compare only",
                "Use --format human or --format json");
  }
  return invocation_;
}

Invocation parse_command_line(int argc, const char* const* argv) { return CommandLine().parse(argc, argv); }

}  // namespace llmq::cli
