// The options of quantize that change what the level says: types of tensors, values of metadata.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "llmq/pipeline/quantize.hpp"

namespace llmq::cli {

/// A part of a command's parser: a member of it, so that options point to where it stays.
class PlanChangesParser {
 public:
  void add_options(CLI::App& command);
  /// What was typed. @throws Error(invalid_arguments | unsupported_conversion) that names the option.
  void apply(QuantizeOptions& options) const;

 private:
  std::vector<std::string> tensor_types_;
  std::string layer_bits_;
  bool pure_ = false;
  bool leave_output_ = false;
  std::string output_type_;
  std::string token_embd_type_;
  std::vector<std::string> metadata_;
};

}  // namespace llmq::cli
