#include "cli/job_executor.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

#include "cli/app.hpp"
#include "cli/hub_models.hpp"
#include "cli/quality_commands.hpp"
#include "cli/quantize_command.hpp"
#include "cli/render.hpp"
#include "cli/render_profile.hpp"
#include "cli/render_quality.hpp"

namespace llmq::cli {
namespace {

/// Options that a command line gives by position, per step type.
std::vector<std::string> positional_options(const std::string& type) {
  if (type == "analyze") return {"model"};
  if (type == "quantize") return {"model", "format"};
  if (type == "profile") return {};
  return {"original", "candidates"};
}

Invocation parse(const JobStep& step) {
  std::vector<const char*> argv = {"llm-quantize"};
  const std::vector<std::string> words = command_words(step);
  for (const std::string& word : words) argv.push_back(word.c_str());
  Invocation invocation = parse_command_line(static_cast<int>(argv.size()), argv.data());
  if (!invocation.text.empty())
    throw Error(ExitCode::invalid_arguments, "the options ask for a help text",
                "Give options of the step only");
  return invocation;
}

/// The command's JSON; warnings are those of this step alone.
template <typename Result>
std::string render(const StageContext& context, std::size_t earlier_warnings, const Result& result) {
  if (!context.comm.is_root()) return {};
  const Warnings& all = context.log.warnings();
  return json(result, Warnings(all.begin() + static_cast<std::ptrdiff_t>(earlier_warnings), all.end()));
}

}  // namespace

std::vector<std::string> command_words(const JobStep& step) {
  std::vector<std::string> words = {step.type};
  if (step.type == "profile") words.emplace_back("create");
  if (step.type == "quality")
    words.push_back(step.find("candidates")->values.size() == 1 ? "report" : "compare");
  const std::vector<std::string> positions = positional_options(step.type);
  for (const JobOption& option : step.options) {
    if (std::find(positions.begin(), positions.end(), option.name) != positions.end()) continue;
    if (option.flag) {
      words.push_back("--" + option.name);
      continue;
    }
    for (const std::string& value : option.values)
      words.push_back(fmt::format("--{}={}", option.name, value));
  }
  words.emplace_back("--");  // a path may begin with a dash
  for (const std::string& name : positions) {
    const JobOption* option = step.find(name);
    if (option != nullptr) words.insert(words.end(), option->values.begin(), option->values.end());
    if (option == nullptr && name == "format") words.emplace_back("gguf");
  }
  return words;
}

void CommandExecutor::check(const JobStep& step) const { (void)parse(step); }

StepOutcome CommandExecutor::execute(const StageContext& context, const JobStep& step, const StepMode& mode) {
  const std::size_t warnings = context.log.warnings().size();
  Invocation invocation = parse(step);
  bring_models(context, invocation);
  switch (invocation.command) {
    case Command::analyze: {
      invocation.analyze.checkpoints = mode.checkpoints;
      const AnalyzeResult result = run_analyze(context, invocation.analyze);
      return {render(context, warnings, result), result.resumed};
    }
    case Command::quantize: {
      invocation.quantize.checkpoints = mode.checkpoints;
      invocation.quantize.force = invocation.quantize.force || mode.overwrite;
      const QuantizeResult result = run_quantize_command(context, invocation.quantize);
      return {render(context, warnings, result), result.units_resumed > 0};
    }
    case Command::profile_create:
      invocation.profile_create.force = mode.overwrite;
      invocation.profile_create.checkpoints = mode.checkpoints;
      return {render(context, warnings, run_profile_create(context, invocation.profile_create)), false};
    case Command::quality_report:
      return {render(context, warnings, run_quality_report(context, invocation)), false};
    case Command::quality_compare:
      return {render(context, warnings, run_quality_compare(context, invocation)), false};
    case Command::none:
    case Command::profile_list:
    case Command::profile_show:
    case Command::profile_validate:
    case Command::info:
    case Command::convert:
    case Command::run:
      break;
  }
  throw InternalError(fmt::format("step {} became another command", step.id));
}

}  // namespace llmq::cli
