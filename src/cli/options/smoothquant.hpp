// Options of the output format smoothquant. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "llmq/pipeline/quantize.hpp"

namespace llmq::cli {

class SmoothQuantParser {
 public:
  void add_options(CLI::App& command);
  /// Sets `options.smoothquant` for the format. @param chosen  the format is smoothquant
  /// @throws Error(invalid_arguments) for values and combinations that make no sense.
  void apply(const CLI::App& command, bool chosen, QuantizeOptions& options) const;

 private:
  bool smoothquant_ = false;
  std::string alpha_;
  std::string activation_scales_;
};

}  // namespace llmq::cli
