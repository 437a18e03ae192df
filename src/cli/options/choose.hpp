// Options whose value is one of a few words, in any case.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

namespace llmq::cli {

/// The value of the word `text`. @throws Error(invalid_arguments) that names the choices.
template <typename Value>
Value choose(const std::map<std::string, Value>& choices, const std::string& text, std::string_view option) {
  const auto found = choices.find(to_lower(text));
  if (found != choices.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [name, value] : choices) names.push_back(name);
  throw Error(ExitCode::invalid_arguments,
              fmt::format("{}: \"{}\" is not one of {}", option, text, fmt::join(names, ", ")), "See --help");
}

}  // namespace llmq::cli
