// Options that every command accepts, before or after its name.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/options/command_parser.hpp"

namespace llmq::cli {

class GlobalParser {
 public:
  /// The options point into the parser, which has to stay where it is.
  void add_options(CommandTree tree);
  /// @throws Error(invalid_arguments)
  void finish(GlobalOptions& global) const;

 private:
  std::string format_ = "human";
  std::string verbosity_ = "normal";
  std::string comm_ = "auto";
  std::string mem_per_rank_;
};

}  // namespace llmq::cli
