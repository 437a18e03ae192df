#include <cctype>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

#include "cli/docgen/surroundings.hpp"
#include "cli/docgen/writers.hpp"

namespace llmq::cli {
namespace {

/// Text that roff leaves as it is: also hyphens and quotes, which it would make typographic.
std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      case '\'':
        out += "\\(aq";
        break;
      case '"':
        out += "\\(dq";
        break;
      case '`':
        out += "\\(ga";
        break;
      case '^':
        out += "\\(ha";
        break;
      case '~':
        out += "\\(ti";
        break;
      default:
        out += c;
    }
  }
  // A line that starts with a dot would be a request.
  return out.starts_with('.') ? "\\&" + out : out;
}

/// whatis(1) wants no capital and no full stop.
std::string as_whatis(std::string description) {
  description.front() = static_cast<char>(std::tolower(static_cast<unsigned char>(description.front())));
  if (description.ends_with('.')) description.pop_back();
  return description;
}

std::string bold(std::string_view text) { return "\\fB" + escape(text) + "\\fR"; }
std::string italic(std::string_view text) { return "\\fI" + escape(text) + "\\fR"; }

/// Words to type are bold, kinds of values are italic: human|json, N|auto.
std::string value_text(const std::string& type) {
  std::vector<std::string> parts;
  for (const std::string& part : CLI::detail::split(type, '|')) {
    parts.push_back(part == to_upper(part) ? italic(part) : bold(part));
  }
  return fmt::format("{}", fmt::join(parts, "|"));
}

std::string tagged(const std::string& tag, const std::string& text) {
  return fmt::format(".TP\n{}\n{}\n", tag, text);
}

std::string option_text(const OptionEntry& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.names) names.push_back(bold(name));
  std::string tag = fmt::format("{}", fmt::join(names, ", "));
  if (!option.type.empty()) tag += " " + value_text(option.type);
  std::string text = escape(option.description);
  if (!option.limits.empty()) text += "; " + escape(option.limits);
  if (!option.default_value.empty()) text += fmt::format(" (default: {})", escape(option.default_value));
  return tagged(tag, text);
}

std::string argument_text(const OptionEntry& argument) {
  std::string text = escape(argument.description);
  if (argument.kind == ValueKind::words) text += ": " + value_text(argument.type);
  return tagged(italic(argument.names.front()), text);
}

std::string examples_text(const std::vector<std::string>& examples) {
  std::string text = ".EX\n";
  for (const std::string& line : examples) text += escape(line) + "\n";
  return text + ".EE\n";
}

std::string usage_text(const CommandEntry& command) {
  std::string text = bold(command.full_name()) + " [" + italic("OPTIONS") + "]";
  for (const OptionEntry& argument : command.arguments) text += " " + italic(argument.names.front());
  return text;
}

/// Commands that run something; `quality` alone does not.
bool runs(const CommandEntry& command) { return command.subcommands.empty(); }

std::string synopsis(const std::vector<CommandEntry>& catalogue) {
  std::string text = ".SH SYNOPSIS\n.nf\n";
  for (const CommandEntry& command : catalogue) {
    if (runs(command)) text += usage_text(command) + "\n";
  }
  return text + fmt::format("{} {} {} ...\n.fi\n", bold("mpirun -n"), italic("N"), bold("llm-quantize"));
}

std::string command_section(const CommandEntry& command) {
  std::string text = fmt::format(".SS {}\n{}.\n.PP\n{}\n", escape(command.full_name()),
                                 escape(command.description), usage_text(command));
  for (const OptionEntry& argument : command.arguments) text += argument_text(argument);
  for (const OptionEntry& option : command.options) {
    if (!is_help(option)) text += option_text(option);  // said once, among the global options
  }
  return text + ".PP\nExamples:\n.PP\n" + examples_text(command.examples);
}

std::string commands(const std::vector<CommandEntry>& catalogue) {
  std::string text = ".SH COMMANDS\n";
  for (const CommandEntry& command : catalogue) {
    if (runs(command)) text += command_section(command);
  }
  return text;
}

std::string exit_status() {
  std::string text =
      ".SH EXIT STATUS\nThe same under a launcher. Errors say what happened and what to do; with\n" +
      bold("--format json") + "\nthey are one document on stdout with the name given here.\n";
  for (const ExitCodeRow& row : exit_codes()) {
    if (row.when.empty()) continue;
    const std::string name = row.code == ExitCode::ok ? std::string() : fmt::format("{}: ", escape(row.type));
    text += tagged(bold(std::to_string(static_cast<int>(row.code))), name + escape(row.when));
  }
  return text;
}

template <typename Rows>
std::string described(std::string_view heading, const Rows& rows) {
  std::string text = fmt::format(".SH {}\n", heading);
  for (const Described& row : rows) text += tagged(bold(row.name), escape(row.text));
  return text;
}

}  // namespace

std::string man_page(const std::vector<CommandEntry>& catalogue, std::string_view version) {
  const CommandEntry& program = catalogue.front();
  std::string text = ".\\\" Written by docgen from the program's own table of options.\n";
  text += fmt::format(".TH LLM\\-QUANTIZE 1 \"\" \"llm\\-quantize {}\" \"User Commands\"\n.nr HY 0\n.ad l\n",
                      escape(version));
  text += fmt::format(".SH NAME\n{} \\- {}\n", escape(program.full_name()),
                      escape(as_whatis(program.description)));
  text += synopsis(catalogue);
  text +=
      ".SH DESCRIPTION\nA Hugging Face checkpoint in; an importance matrix, a GGUF file and a quality report "
      "out.\nResults have the same bytes on any number of ranks. Results go to stdout, progress and messages "
      "to "
      "stderr.\n.PP\n" +
      examples_text(program.examples);
  text += ".SH GLOBAL OPTIONS\nAccepted before and after the command.\n";
  for (const OptionEntry& option : program.options) text += option_text(option);
  text += commands(catalogue) + exit_status() + described("ENVIRONMENT", kEnvironment) +
          described("FILES", kFiles);
  return text + ".SH SEE ALSO\n.BR mpirun (1)\n";
}

}  // namespace llmq::cli
