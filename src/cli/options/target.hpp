// --target-bpw and --target-size: how small the result is to be. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "llmq/allocate/target_size.hpp"

namespace llmq::cli {

class TargetParser {
 public:
  /// @param otherwise  what holds when neither is given, for --help
  void add_options(CLI::App& command, const std::string& otherwise);
  /// @throws Error(invalid_arguments): no such size, or both options.
  void apply(std::optional<double>& bpw, std::optional<TargetSize>& size) const;

 private:
  std::optional<double> bpw_;
  std::string size_;
};

}  // namespace llmq::cli
