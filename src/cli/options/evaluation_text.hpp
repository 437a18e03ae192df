// What both quality commands take of the text and the original's pass; text options have two names each.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "llmq/pipeline/quality.hpp"

#include "cli/options/command_parser.hpp"

namespace llmq::cli {

class EvaluationTextParser {
 public:
  void add_options(CLI::App& command, EvaluationOptions& options);
  /// Leaves what was not typed as it is. @throws Error(invalid_arguments) when both names of an option were
  /// typed.
  void apply(EvaluationOptions& options) const;

 private:
  std::string text_;
  std::string calibration_data_;
  std::optional<std::uint64_t> chunks_;
  std::optional<std::uint64_t> calibration_samples_;
};

/// Of --output of both quality commands. @throws Error(invalid_arguments) for other extensions.
void require_report_extension(const std::string& output);

/// `quality` only holds its subcommands; the first of them to be added makes it.
CLI::App& quality_group(CLI::App& root);

}  // namespace llmq::cli
