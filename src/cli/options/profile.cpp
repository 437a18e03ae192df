#include "cli/options/profile.hpp"

#include "cli/environment.hpp"
#include "cli/options/commands.hpp"
#include "cli/options/value_types.hpp"

namespace llmq::cli {
namespace {

class ProfileListParser final : public CommandParser {
 public:
  explicit ProfileListParser(CommandTree tree)
      : CommandParser(
            *profile_group(tree.root).add_subcommand("list", "The presets, and the profiles of your own")) {
    app().footer(
        "Examples:\n"
        "  llm-quantize profile list\n"
        "  LLM_QUANTIZE_PROFILE_DIR=./profiles llm-quantize profile list --format json");
  }
  void finish(Invocation& invocation) const override { invocation.command = Command::profile_list; }
};

class ProfileShowParser final : public CommandParser {
 public:
  explicit ProfileShowParser(CommandTree tree)
      : CommandParser(*profile_group(tree.root).add_subcommand("show", "What a profile says")) {
    app()
        .add_option("NAME", tree.invocation.profile_name, "A profile that list names, or a .dqprofile file")
        ->type_name(kProfileValue)
        ->required();
    app().footer(
        "Examples:\n"
        "  llm-quantize profile show attention-high\n"
        "  llm-quantize profile show balanced --format json > mine.dqprofile");
  }
  void finish(Invocation& invocation) const override { invocation.command = Command::profile_show; }
};

class ProfileValidateParser final : public CommandParser {
 public:
  explicit ProfileValidateParser(CommandTree tree)
      : CommandParser(*profile_group(tree.root).add_subcommand(
            "validate", "What of a profile does not fit a model, tensor by tensor")) {
    ProfileValidateOptions& options = tree.invocation.profile_validate;
    app()
        .add_option("PROFILE", options.profile, "A profile that list names, or a .dqprofile file")
        ->type_name(kProfileValue)
        ->required();
    app()
        .add_option("MODEL", options.model,
                    "Hub id org/name[@revision], Hugging Face directory or GGUF file; no weight is read")
        ->type_name(kPathValue)
        ->required();
    app().footer(
        "Examples:\n"
        "  llm-quantize profile validate attention-high ./Llama-3.2-1B\n"
        "  llm-quantize profile validate mine.dqprofile Llama-3.2-1B-F16.gguf --format json");
  }
  void finish(Invocation& invocation) const override {
    invocation.command = Command::profile_validate;
    invocation.profile_validate.directory = profile_directory();
  }
};

}  // namespace

CLI::App& profile_group(CLI::App& root) {
  const auto by_name = [](const CLI::App* command) { return command->get_name() == "profile"; };
  if (const auto made = root.get_subcommands(by_name); !made.empty()) return *made.front();
  CLI::App& group = *root.add_subcommand("profile", "Which layers get how many bits");
  group.require_subcommand(1);
  group.fallthrough();
  group.footer(
      "Examples:\n"
      "  llm-quantize profile list\n"
      "  llm-quantize profile create --imatrix Llama-3.2-1B.imatrix --name mine --target-bpw 3.5\n"
      "  llm-quantize profile validate mine.dqprofile ./Llama-3.2-1B");
  return group;
}

std::unique_ptr<CommandParser> add_profile_list(CommandTree tree) {
  return std::make_unique<ProfileListParser>(tree);
}

std::unique_ptr<CommandParser> add_profile_show(CommandTree tree) {
  return std::make_unique<ProfileShowParser>(tree);
}

std::unique_ptr<CommandParser> add_profile_validate(CommandTree tree) {
  return std::make_unique<ProfileValidateParser>(tree);
}

}  // namespace llmq::cli
