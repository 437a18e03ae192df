#include "cli/docgen/catalogue.hpp"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/options/value_types.hpp"

namespace llmq::cli {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts = CLI::detail::split(text, separator);
  std::erase(parts, "");
  return parts;
}

/// CLI11 joins a type and what a check says of itself: "UINT:UINT in [1 - 4096]".
std::string limits_in_words(const std::string& check) {
  if (check == "NONNEGATIVE") return "0 or more";
  const auto open = check.find('['), dash = check.find(" - "), close = check.find(']');
  if (open == std::string::npos || dash == std::string::npos || close == std::string::npos) return check;
  return fmt::format("from {} to {}", check.substr(open + 1, dash - open - 1),
                     check.substr(dash + 3, close - dash - 3));
}

void read_type(OptionEntry& entry, const std::string& type_and_check) {
  const auto colon = type_and_check.find(':');
  entry.type = type_and_check.substr(0, colon);
  if (colon != std::string::npos) entry.limits = limits_in_words(type_and_check.substr(colon + 1));
  entry.kind = ValueKind::text;
  if (entry.type == kFileValue) entry.kind = ValueKind::file;
  if (entry.type == kDirectoryValue) entry.kind = ValueKind::directory;
  if (entry.type == kPathValue) entry.kind = ValueKind::path;
  if (entry.type == kLevelValue) {
    for (const std::string_view level : available_levels()) entry.words.emplace_back(level);
  } else if (entry.type == kTensorTypeValue) {
    for (const std::string_view type : available_tensor_types()) entry.words.emplace_back(type);
  } else {
    for (const std::string& word : split(entry.type, '|')) {
      if (std::islower(static_cast<unsigned char>(word.front())) != 0) entry.words.push_back(word);
    }
  }
  if (!entry.words.empty()) entry.kind = ValueKind::words;
  if (entry.type == kProfileValue) {
    for (const std::string_view preset : available_presets()) entry.words.emplace_back(preset);
    entry.kind = ValueKind::words_or_file;
  }
}

OptionEntry make_entry(const CLI::Option& option) {
  OptionEntry entry;
  for (const std::string& name : option.get_snames()) entry.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) entry.names.push_back("--" + name);
  if (option.get_positional()) entry.names = {option.get_name()};
  if (option.get_items_expected_max() > 0) read_type(entry, option.get_type_name());
  entry.default_value = option.get_default_str();
  entry.description = option.get_description();
  return entry;
}

/// Lines of the footer below its heading, without the indent.
std::vector<std::string> read_examples(const std::string& footer) {
  std::vector<std::string> examples;
  for (const std::string& line : split(footer, '\n')) {
    if (line.starts_with("  ")) examples.push_back(line.substr(2));
  }
  return examples;
}

void add_commands(std::vector<CommandEntry>& catalogue, const CLI::App& app, std::vector<std::string> path) {
  path.push_back(app.get_name());
  CommandEntry command{path, app.get_description(), {}, {}, {}, read_examples(app.get_footer())};
  for (const CLI::Option* option :
       app.get_options([](const CLI::Option* each) { return !each->get_group().empty(); })) {
    (option->get_positional() ? command.arguments : command.options).push_back(make_entry(*option));
  }
  const auto children = app.get_subcommands([](const CLI::App* each) { return !each->get_group().empty(); });
  for (const CLI::App* child : children) command.subcommands.push_back(child->get_name());
  catalogue.push_back(std::move(command));
  for (const CLI::App* child : children) add_commands(catalogue, *child, path);
}

}  // namespace

std::string CommandEntry::full_name() const { return fmt::format("{}", fmt::join(path, " ")); }

bool is_help(const OptionEntry& option) { return option.names.back() == "--help"; }

std::vector<CommandEntry> make_catalogue(const CLI::App& app) {
  std::vector<CommandEntry> catalogue;
  add_commands(catalogue, app, {});
  return catalogue;
}

}  // namespace llmq::cli
