// The table of commands, in the order of --help: a new command is a file beside this one and a row here.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "cli/options/command_parser.hpp"

namespace llmq::cli {

std::unique_ptr<CommandParser> add_quantize(CommandTree tree);
std::unique_ptr<CommandParser> add_convert(CommandTree tree);
std::unique_ptr<CommandParser> add_analyze(CommandTree tree);
std::unique_ptr<CommandParser> add_profile_list(CommandTree tree);
std::unique_ptr<CommandParser> add_profile_show(CommandTree tree);
std::unique_ptr<CommandParser> add_profile_create(CommandTree tree);
std::unique_ptr<CommandParser> add_profile_validate(CommandTree tree);
std::unique_ptr<CommandParser> add_quality_report(CommandTree tree);
std::unique_ptr<CommandParser> add_quality_compare(CommandTree tree);
std::unique_ptr<CommandParser> add_info(CommandTree tree);
std::unique_ptr<CommandParser> add_run(CommandTree tree);

inline constexpr std::unique_ptr<CommandParser> (*kCommands[])(CommandTree) = {
    add_quantize,
    add_analyze,
    add_profile_list,
    add_profile_show,
    add_profile_create,
    add_profile_validate,
    add_quality_report,
    add_quality_compare,
    add_info,
    add_convert,
    add_run,
};

}  // namespace llmq::cli
