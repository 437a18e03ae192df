// The tree of commands as plain data, without what is hidden: all that the manual page and the completions
// say about commands and options comes from here. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace llmq::cli {

enum class ValueKind { none, text, words, words_or_file, file, directory, path };

struct OptionEntry {
  std::vector<std::string> names;  ///< "-q", "--quant-level"; for an argument its one name, "MODEL"
  ValueKind kind = ValueKind::none;
  std::string type;                ///< what stands after the option: "FILE", "human|json"; empty for a flag
  std::vector<std::string> words;  ///< values to offer, canonical spelling
  std::string limits;              ///< "from 1 to 4096", or empty
  std::string default_value;
  std::string description;
};

struct CommandEntry {
  std::vector<std::string> path;  ///< "llm-quantize", "quality", "report"
  std::string description;
  std::vector<OptionEntry> options;
  std::vector<OptionEntry> arguments;
  std::vector<std::string> subcommands;
  std::vector<std::string> examples;  ///< command lines, with what is said beside them

  std::string full_name() const;  ///< "llm-quantize quality report"
};

/// --help, which every command has for itself.
bool is_help(const OptionEntry& option);

/// The program itself first, then its commands in the order of --help, each before its subcommands.
std::vector<CommandEntry> make_catalogue(const CLI::App& app);

}  // namespace llmq::cli
