// Options whose value is one of a few words, in any case.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

namespace llmq::cli {

template <typename Value>
using Choices = std::vector<std::pair<std::string, Value>>;

template <typename Value>
std::string join_words(const Choices<Value>& choices, std::string_view separator) {
  std::vector<std::string> words;
  for (const auto& [word, value] : choices) words.push_back(word);
  return fmt::format("{}", fmt::join(words, separator));
}

/// The type name of such an option (value_types.hpp): "human|json".
template <typename Value>
std::string type_name(const Choices<Value>& choices) {
  return join_words(choices, "|");
}

/// The value of the word `text`. @throws Error(invalid_arguments) that names the choices.
template <typename Value>
Value choose(const Choices<Value>& choices, const std::string& text, std::string_view option) {
  for (const auto& [word, value] : choices) {
    if (word == to_lower(text)) return value;
  }
  throw Error(ExitCode::invalid_arguments,
              fmt::format("{}: \"{}\" is not one of {}", option, text, join_words(choices, ", ")),
              "See --help");
}

}  // namespace llmq::cli
