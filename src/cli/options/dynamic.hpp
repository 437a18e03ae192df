// Options of level dynamic. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "llmq/pipeline/quantize.hpp"

#include "cli/options/target.hpp"

namespace llmq::cli {

class DynamicParser {
 public:
  void add_options(CLI::App& command, QuantizeOptions& options);
  /// Sets `options.dynamic` for level dynamic. @throws Error(invalid_arguments) for values and combinations
  /// that make no sense.
  void apply(QuantizeOptions& options) const;

 private:
  bool dynamic_ = false;
  std::string profile_;
  TargetParser target_;
  std::string atlas_rows_;
};

}  // namespace llmq::cli
