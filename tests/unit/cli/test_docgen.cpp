// The manual page and the completions say every option of the tree that parses the command line, and nothing
// that is hidden there. How shells and groff read them: tests/cli.
// SPDX-License-Identifier: Apache-2.0
#include <functional>

#include <gmock/gmock.h>

#include "cli/command_line.hpp"
#include "cli/docgen/writers.hpp"

namespace llmq::cli {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

struct Written {
  CommandLine command_line;
  std::vector<CommandEntry> catalogue = make_catalogue(command_line.app());
  std::string man = man_page(catalogue, "1.2.3");
  std::string bash = bash_completion(catalogue);
  std::string zsh = zsh_completion(catalogue);
};

void for_each_option(const CLI::App& app, const std::function<void(const CLI::Option&)>& visit) {
  for (const CLI::Option* option : app.get_options()) visit(*option);
  for (const CLI::App* command : app.get_subcommands({})) for_each_option(*command, visit);
}

std::string with_roff_hyphens(std::string text) {
  for (std::size_t at = 0; (at = text.find('-', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

const OptionEntry& find_option(const std::vector<CommandEntry>& catalogue, std::string_view command,
                               const std::string& name) {
  for (const CommandEntry& each : catalogue) {
    if (each.full_name() != command) continue;
    for (const OptionEntry& option : each.options) {
      if (testing::Value(option.names, Contains(name))) return option;
    }
  }
  throw std::logic_error("no option " + name);
}

TEST(Docgen, EveryVisibleOptionIsInAllThree) {
  const Written written;
  int options = 0;
  for_each_option(written.command_line.app(), [&](const CLI::Option& option) {
    if (option.get_group().empty()) return;
    for (const std::string& name : option.get_lnames()) {
      EXPECT_THAT(written.man, HasSubstr("\\fB" + with_roff_hyphens("--" + name) + "\\fR"));
      EXPECT_THAT(written.bash, testing::ContainsRegex("[' ]--" + name + "[' ]"));
      EXPECT_THAT(written.zsh, HasSubstr(")--" + name));
      ++options;
    }
    for (const std::string& name : option.get_snames()) {
      EXPECT_THAT(written.man, HasSubstr("\\fB\\-" + name + "\\fR, "));
      EXPECT_THAT(written.bash, testing::ContainsRegex("[' ]-" + name + "[' ]"));
      EXPECT_THAT(written.zsh, HasSubstr(")-" + name));
    }
  });
  EXPECT_GT(options, 30);
}

TEST(Docgen, HiddenOptionsAreInNone) {
  const Written written;
  for_each_option(written.command_line.app(), [&](const CLI::Option& option) {
    if (!option.get_group().empty()) return;
    for (const std::string& name : option.get_lnames()) {
      EXPECT_THAT(written.man, Not(HasSubstr("\\fB" + with_roff_hyphens("--" + name) + "\\fR")));
      EXPECT_THAT(written.bash, Not(testing::ContainsRegex("[' ]--" + name + "[' ]")));
      EXPECT_THAT(written.zsh, Not(HasSubstr(")--" + name)));
    }
  });
}

TEST(Docgen, CommandsComeInTheOrderOfHelp) {
  const Written written;
  std::vector<std::string> names;
  for (const CommandEntry& command : written.catalogue) names.push_back(command.full_name());
  EXPECT_THAT(names, testing::IsSupersetOf({"llm-quantize", "llm-quantize quantize", "llm-quantize analyze",
                                            "llm-quantize quality", "llm-quantize quality report",
                                            "llm-quantize info"}));
  EXPECT_EQ(names.front(), "llm-quantize");
}

TEST(Docgen, OptionsSayWhatTheyTake) {
  const Written written;
  const OptionEntry& format = find_option(written.catalogue, "llm-quantize", "--format");
  EXPECT_THAT(format.words, ElementsAre("human", "json"));
  EXPECT_EQ(format.default_value, "human");
  EXPECT_EQ(find_option(written.catalogue, "llm-quantize", "--threads").limits, "from 1 to 4096");
  const OptionEntry& level = find_option(written.catalogue, "llm-quantize quantize", "-q");
  EXPECT_EQ(level.kind, ValueKind::words);
  EXPECT_THAT(level.words, Contains("Q4_K_M"));
  EXPECT_EQ(find_option(written.catalogue, "llm-quantize quantize", "--imatrix").kind, ValueKind::file);
  EXPECT_EQ(find_option(written.catalogue, "llm-quantize quantize", "--output-dir").kind,
            ValueKind::directory);
  EXPECT_EQ(find_option(written.catalogue, "llm-quantize quantize", "--dry-run").kind, ValueKind::none);
  // N|auto: only the word in small letters can be offered.
  EXPECT_THAT(find_option(written.catalogue, "llm-quantize analyze", "--layer-groups").words,
              ElementsAre("auto"));
}

TEST(Docgen, EveryCommandThatRunsHasExamples) {
  for (const CommandEntry& command : Written().catalogue) {
    EXPECT_THAT(command.examples, Contains(HasSubstr("llm-quantize"))) << command.full_name();
  }
}

TEST(Docgen, TextDependsOnNothingElse) {
  const Written first, second;
  EXPECT_EQ(first.man, second.man);
  EXPECT_EQ(first.bash, second.bash);
  EXPECT_EQ(first.zsh, second.zsh);
  EXPECT_THAT(first.man, HasSubstr("llm\\-quantize 1.2.3"));
}

}  // namespace
}  // namespace llmq::cli
