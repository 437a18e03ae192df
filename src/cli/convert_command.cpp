#include "cli/convert_command.hpp"

#include <cstdio>
#include <iostream>
#include <string>
#include <unistd.h>

#include <fmt/format.h>

#include "llmq/core/text.hpp"

namespace llmq::cli {
namespace {

bool ask_on_terminal(const std::string& warning) {
  fmt::print(stderr, "[llm-quantize] Warning: {}\n[llm-quantize] Go on? [y/N] ", warning);
  std::fflush(stderr);
  std::string answer;
  std::getline(std::cin, answer);
  return equals_ignore_case(answer, "y") || equals_ignore_case(answer, "yes");
}

}  // namespace

QuantizeResult run_convert_command(const StageContext& context, const ConvertOptions& options) {
  ConvertOptions asking = options;
  // A terminal behind a launcher is the launcher's: `terminal` is false there.
  if (context.log.options().terminal && ::isatty(STDIN_FILENO) == 1) asking.confirm = ask_on_terminal;
  return run_convert(context, asking);
}

}  // namespace llmq::cli
