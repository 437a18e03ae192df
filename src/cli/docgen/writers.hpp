// What is written from the catalogue. Text depends on it and the version alone: no date, no path.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/docgen/catalogue.hpp"

namespace llmq::cli {

/// llm-quantize.1 in man(7) macros.
std::string man_page(const std::vector<CommandEntry>& catalogue, std::string_view version);
std::string bash_completion(const std::vector<CommandEntry>& catalogue);
std::string zsh_completion(const std::vector<CommandEntry>& catalogue);

}  // namespace llmq::cli
