#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/docgen/writers.hpp"

namespace llmq::cli {
namespace {

constexpr std::string_view kHead =
    R"(# bash completion for llm-quantize. Written by docgen from the program's own table of options.
# shellcheck shell=bash

)";

// The walk over the words before the cursor; the two tables above it are generated.
constexpr std::string_view kWalk = R"(
# Candidates of one kind that start with $cur; levels and words in any case, as the program takes them.
_llm_quantize_offer() {
  local word
  case $1 in
    @text) ;;
    @file|@path|@directory)
      local how=-f
      [[ $1 == @directory ]] && how=-d
      mapfile -t COMPREPLY < <(compgen "$how" -- "${cur/#~\//$HOME/}")
      compopt -o filenames 2> /dev/null
      ;;
    '@or_file '*)
      mapfile -t COMPREPLY < <(compgen -f -- "${cur/#~\//$HOME/}")
      compopt -o filenames 2> /dev/null
      for word in ${1#* }; do
        [[ ${word,,} == "${cur,,}"* ]] && COMPREPLY+=("$word")
      done
      ;;
    *)
      for word in $1; do
        [[ ${word,,} == "${cur,,}"* ]] && COMPREPLY+=("$word")
      done
      ;;
  esac
}

_llm_quantize() {
  local cur=${COMP_WORDS[COMP_CWORD]} command=llm-quantize pending='' value='' position=0 i word
  local subcommands='' options='' arguments=()
  COMPREPLY=()
  [[ $cur == '=' ]] && cur=''
  _llm_quantize_command
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ -n $pending ]]; then
      [[ $word == '=' ]] || pending=''  # readline splits --format=json into three words
    elif [[ $word == -* ]]; then
      _llm_quantize_value "$word"
      pending=$value
    elif [[ -n $subcommands && " $subcommands " == *" $word "* ]]; then
      command+=" $word"
      _llm_quantize_command
    else
      position=$((position + 1))
    fi
  done
  if [[ -n $pending ]]; then _llm_quantize_offer "$pending"
  elif [[ $cur == -* ]]; then _llm_quantize_offer "$options"
  elif [[ -n $subcommands ]]; then
    # After a word that is no command nothing can be right.
    if ((position == 0)); then _llm_quantize_offer "$subcommands"; fi
  elif ((position < ${#arguments[@]})); then _llm_quantize_offer "${arguments[position]}"
  else _llm_quantize_offer "$options"; fi
}

complete -F _llm_quantize llm-quantize
)";

/// What _llm_quantize_offer is given.
std::string kind_word(const OptionEntry& option) {
  switch (option.kind) {
    case ValueKind::none:
      return "";
    case ValueKind::text:
      return "@text";
    case ValueKind::words:
      return fmt::format("{}", fmt::join(option.words, " "));
    case ValueKind::words_or_file:
      return fmt::format("@or_file {}", fmt::join(option.words, " "));
    case ValueKind::file:
      return "@file";
    case ValueKind::directory:
      return "@directory";
    case ValueKind::path:
      return "@path";
  }
  return "";
}

std::string option_names(const std::vector<const CommandEntry*>& commands) {
  std::vector<std::string> names;
  for (const CommandEntry* command : commands) {
    for (const OptionEntry& option : command->options) {
      for (const std::string& name : option.names) {
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
      }
    }
  }
  return fmt::format("{}", fmt::join(names, " "));
}

std::string command_table(const std::vector<CommandEntry>& catalogue) {
  std::string text =
      "# What may stand in a command: sets subcommands, options and arguments of $command.\n"
      "_llm_quantize_command() {\n  case $command in\n";
  for (const CommandEntry& command : catalogue) {
    const bool is_program = &command == &catalogue.front();
    text += fmt::format("    '{}')\n      subcommands='{}'\n", command.full_name(),
                        fmt::join(command.subcommands, " "));
    text += fmt::format("      options='{}'\n",
                        is_program ? option_names({&command}) : option_names({&command, &catalogue.front()}));
    text += "      arguments=(";
    for (const OptionEntry& argument : command.arguments) text += fmt::format(" '{}'", kind_word(argument));
    text += " )\n      ;;\n";
  }
  return text + "  esac\n}\n";
}

/// One case label: `prefix` and every name of the option.
std::string value_row(std::string_view prefix, const OptionEntry& option) {
  if (option.kind == ValueKind::none) return "";
  std::vector<std::string> labels;
  for (const std::string& name : option.names) labels.push_back(fmt::format("{} {}'", prefix, name));
  return fmt::format("    {}) value='{}' ;;\n", fmt::join(labels, "|"), kind_word(option));
}

std::string value_table(const std::vector<CommandEntry>& catalogue) {
  std::string text =
      "\n# What option $1 of $command takes: value becomes @text, @file, @directory, @path, the words to "
      "choose\n"
      "# from (behind @or_file: files, too), or nothing for a flag.\n_llm_quantize_value() {\n  value=''\n  "
      "case \"$command $1\" in\n";
  for (const CommandEntry& command : catalogue) {
    if (&command == &catalogue.front()) continue;
    for (const OptionEntry& option : command.options) {
      text += value_row(fmt::format("'{}", command.full_name()), option);
    }
  }
  // Global options stand in every command; a command's own of the same name came before.
  for (const OptionEntry& option : catalogue.front().options) text += value_row("*'", option);
  return text + "  esac\n}\n";
}

}  // namespace

std::string bash_completion(const std::vector<CommandEntry>& catalogue) {
  return fmt::format("{}{}{}{}", kHead, command_table(catalogue), value_table(catalogue), kWalk);
}

}  // namespace llmq::cli
