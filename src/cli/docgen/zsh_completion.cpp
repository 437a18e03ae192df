#include <functional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/docgen/writers.hpp"

namespace llmq::cli {
namespace {

constexpr std::string_view kHead = R"(#compdef llm-quantize
# zsh completion for llm-quantize. Written by docgen from the program's own table of options.

# Words in any case, as the program takes them.
_llm-quantize-words() { compadd -M 'm:{[:lower:][:upper:]}={[:upper:][:lower:]}' "$@" }
_llm-quantize-words-or-file() {
  local ret=1
  _llm-quantize-words "$@" && ret=0
  _files && ret=0
  return ret
}

)";

/// Inside single quotes, and inside an _arguments specification where brackets and colons mean something.
std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
    if (c == '\'') out += "\\''";
  }
  return out;
}

/// "llm-quantize quality report" -> "_llm-quantize-quality-report"
std::string function_name(const std::vector<std::string>& path) {
  return fmt::format("_{}", fmt::join(path, "-"));
}

std::string action(const OptionEntry& option) {
  switch (option.kind) {
    case ValueKind::none:
      return "";
    case ValueKind::text:
      return " ";  // a value with nothing to offer
    case ValueKind::words:
      return fmt::format("_llm-quantize-words {}", fmt::join(option.words, " "));
    case ValueKind::words_or_file:
      return fmt::format("_llm-quantize-words-or-file {}", fmt::join(option.words, " "));
    case ValueKind::directory:
      return "_files -/";
    case ValueKind::file:
    case ValueKind::path:
      return "_files";
  }
  return "";
}

std::string option_specs(const OptionEntry& option) {
  std::string text;
  for (const std::string& name : option.names) {
    const bool is_long = name.starts_with("--");
    const bool is_flag = option.kind == ValueKind::none;
    text += fmt::format("    '({}){}{}[{}]", fmt::join(option.names, " "), name,
                        is_flag   ? ""
                        : is_long ? "="
                                  : "+",
                        escape(option.description));
    if (!is_flag) text += fmt::format(":{}:{}", escape(option.type), action(option));
    text += "'\n";
  }
  return text;
}

std::string argument_spec(const OptionEntry& argument) {
  return fmt::format("    ':{}:{}'\n", escape(argument.names.front()), action(argument));
}

template <typename Filter>
std::string options_array(std::string_view array, const CommandEntry& command, Filter filter) {
  std::string text = fmt::format("  local -a {}=(\n", array);
  for (const OptionEntry& argument : command.arguments) text += argument_spec(argument);
  for (const OptionEntry& option : command.options) {
    if (filter(option)) text += option_specs(option);
  }
  return text + "  )\n";
}

bool any(const OptionEntry&) { return true; }

/// A command whose words are all its own.
std::string leaf_function(const CommandEntry& command) {
  return fmt::format("{}() {{\n{}  _arguments -s \"$specs[@]\" \"$global[@]\"\n}}\n\n",
                     function_name(command.path), options_array("specs", command, any));
}

const CommandEntry& child_of(const std::vector<CommandEntry>& catalogue, const CommandEntry& command,
                             const std::string& name) {
  std::vector<std::string> path = command.path;
  path.push_back(name);
  for (const CommandEntry& each : catalogue) {
    if (each.path == path) return each;
  }
  return command;
}

/// A command that has subcommands: offers them, then hands the rest of the line to the one that was typed.
/// The program's own options become $global, which functions called from here see; --help is each command's
/// own.
std::string group_function(const std::vector<CommandEntry>& catalogue, const CommandEntry& command) {
  std::string text = fmt::format("{}() {{\n  local curcontext=$curcontext state\n  local -a line\n",
                                 function_name(command.path));
  text += "  typeset -A opt_args\n";
  if (&command == &catalogue.front()) {
    text += options_array("specs", command, is_help);
    text += options_array("global", command, std::not_fn(is_help));
  } else {
    text += options_array("specs", command, any);
  }
  text += "  local -a commands=(\n";
  for (const std::string& name : command.subcommands) {
    text += fmt::format("    '{}:{}'\n", name, escape(child_of(catalogue, command, name).description));
  }
  text += "  )\n  _arguments -C -s \"$specs[@]\" \"$global[@]\" '1: :->command' '*:: :->rest'\n";
  text += "  case $state in\n    command) _describe -t commands command commands ;;\n";
  text += "    rest)\n      case $line[1] in\n";
  for (const std::string& name : command.subcommands) {
    text += fmt::format("        {}) {} ;;\n", name, function_name(child_of(catalogue, command, name).path));
  }
  return text + "      esac ;;\n  esac\n}\n\n";
}

}  // namespace

std::string zsh_completion(const std::vector<CommandEntry>& catalogue) {
  std::string text{kHead};
  for (const CommandEntry& command : catalogue) {
    text += command.subcommands.empty() ? leaf_function(command) : group_function(catalogue, command);
  }
  return text + fmt::format("{} \"$@\"\n", function_name(catalogue.front().path));
}

}  // namespace llmq::cli
