#include "llmq/core/error.hpp"

#include "cli/options/commands.hpp"
#include "cli/options/value_types.hpp"

namespace llmq::cli {
namespace {

class InfoParser final : public CommandParser {
 public:
  explicit InfoParser(CommandTree tree);
  void finish(Invocation& invocation) const override;
};

InfoParser::InfoParser(CommandTree tree)
    : CommandParser(*tree.root.add_subcommand("info", "What a model or an importance matrix is")) {
  app()
      .add_option("MODEL", tree.invocation.info_path,
                  "Hub id org/name[@revision], Hugging Face directory, GGUF file or imatrix")
      ->type_name(kPathValue);
  app().add_flag("--kernels", tree.invocation.info_kernels, "Instruction sets of this build and CPU instead");
  app().footer(
      "Examples:\n"
      "  llm-quantize info ./Llama-3.2-1B\n"
      "  llm-quantize info Llama-3.2-1B-Q4_K_M.gguf --format json\n"
      "  llm-quantize info Llama-3.2-1B.imatrix\n"
      "  llm-quantize info --kernels");
}

void InfoParser::finish(Invocation& invocation) const {
  invocation.command = Command::info;
  if (invocation.info_kernels != invocation.info_path.empty()) {
    throw Error(
        ExitCode::invalid_arguments,
        invocation.info_kernels ? "info takes MODEL or --kernels, not both" : "info: MODEL is required",
        "For example: llm-quantize info ./Llama-3.2-1B");
  }
}

}  // namespace

std::unique_ptr<CommandParser> add_info(CommandTree tree) { return std::make_unique<InfoParser>(tree); }

}  // namespace llmq::cli
