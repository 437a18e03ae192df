#include "cli/options/commands.hpp"
#include "cli/options/profile.hpp"
#include "cli/options/target.hpp"
#include "cli/options/value_types.hpp"

namespace llmq::cli {
namespace {

class ProfileCreateParser final : public CommandParser {
 public:
  explicit ProfileCreateParser(CommandTree tree);
  void finish(Invocation& invocation) const override;

 private:
  TargetParser target_;
};

ProfileCreateParser::ProfileCreateParser(CommandTree tree)
    : CommandParser(*profile_group(tree.root).add_subcommand(
          "create", "Make a profile: bits by the importance of layers")) {
  ProfileCreateOptions& options = tree.invocation.profile_create;
  app()
      .add_option("--imatrix", options.imatrix, "Importance matrix (HDF5, llama.cpp GGUF or .dat)")
      ->type_name(kFileValue)
      ->required();
  app().add_option("--name", options.name, "Name of the profile")->type_name(kNameValue)->required();
  target_.add_options(app(), "3.5");
  app()
      .add_option("--model", options.model,
                  "The model the matrix is of: the profile is checked against its tensors")
      ->type_name(kPathValue);
  app()
      .add_option("-o,--output", options.output, "File to write (default: NAME.dqprofile)")
      ->type_name(kFileValue);
  app().add_flag("--force", options.force, "Overwrite an existing file");
  app().footer(
      "Examples:\n"
      "  llm-quantize profile create --imatrix Llama-3.2-1B.imatrix --name mine\n"
      "  llm-quantize profile create --imatrix Llama-3.2-1B.imatrix --name small --model ./Llama-3.2-1B "
      "--target-size 700MB");
}

void ProfileCreateParser::finish(Invocation& invocation) const {
  invocation.command = Command::profile_create;
  target_.apply(invocation.profile_create.target_bpw, invocation.profile_create.target_size);
}

}  // namespace

std::unique_ptr<CommandParser> add_profile_create(CommandTree tree) {
  return std::make_unique<ProfileCreateParser>(tree);
}

}  // namespace llmq::cli
