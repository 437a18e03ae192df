// The whole tree of commands, built without parsing anything: what parse_command_line runs, and what the
// manual page and the shell completions are written from. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include <CLI/CLI.hpp>

#include "cli/app.hpp"
#include "cli/options/command_parser.hpp"
#include "cli/options/global.hpp"

namespace llmq::cli {

class CommandLine {
 public:
  CommandLine();
  CommandLine(const CommandLine&) = delete;  // options point into it
  CommandLine& operator=(const CommandLine&) = delete;

  const CLI::App& app() const { return app_; }
  /// @throws Error(invalid_arguments | unsupported_conversion). Once for each object.
  Invocation parse(int argc, const char* const* argv);

 private:
  Invocation invocation_;
  CLI::App app_;
  GlobalParser global_;
  std::vector<std::unique_ptr<CommandParser>> commands_;
};

}  // namespace llmq::cli
