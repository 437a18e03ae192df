// The checkpoint options that long commands share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "llmq/pipeline/stage_context.hpp"

namespace llmq::cli {

/// A part of a command's parser: a member of it, so that options point to where it stays.
class CheckpointParser {
 public:
  void add_options(CLI::App& command);
  /// What was typed, over what the environment says. @throws Error(invalid_arguments).
  CheckpointOptions options() const;

 private:
  bool no_checkpoints_ = false;
  std::string directory_;
  std::string resume_;
  double interval_seconds_ = -1;
};

}  // namespace llmq::cli
