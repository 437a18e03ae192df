// The table of commands, in the order of --help: a new command is a file beside this one and a row here.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "cli/options/command_parser.hpp"

namespace llmq::cli {

std::unique_ptr<CommandParser> add_quantize(CommandTree tree);
std::unique_ptr<CommandParser> add_analyze(CommandTree tree);
std::unique_ptr<CommandParser> add_quality_report(CommandTree tree);
std::unique_ptr<CommandParser> add_quality_compare(CommandTree tree);
std::unique_ptr<CommandParser> add_info(CommandTree tree);
std::unique_ptr<CommandParser> add_run(CommandTree tree);

inline constexpr std::unique_ptr<CommandParser> (*kCommands[])(CommandTree) = {
    add_quantize, add_analyze, add_quality_report, add_quality_compare, add_info, add_run,
};

}  // namespace llmq::cli
