#include "cli/options/commands.hpp"
#include "cli/options/evaluation_text.hpp"
#include "cli/options/value_types.hpp"

namespace llmq::cli {
namespace {

class QualityReportParser final : public CommandParser {
 public:
  explicit QualityReportParser(CommandTree tree);
  void finish(Invocation& invocation) const override;

 private:
  void add_options(Invocation& invocation);

  EvaluationTextParser text_;
};

QualityReportParser::QualityReportParser(CommandTree tree)
    : CommandParser(*quality_group(tree.root).add_subcommand(
          "report", "Perplexity, KL divergence and errors of one file")) {
  add_options(tree.invocation);
  app().footer(
      "Examples:\n"
      "  llm-quantize quality report ./Llama-3.2-1B Llama-3.2-1B-Q4_K_M.gguf\n"
      "  llm-quantize quality report ./Llama-3.2-1B Llama-3.2-1B-Q4_K_M.gguf --text wiki.test.raw --chunks "
      "100\n"
      "  llm-quantize quality report ./Llama-3.2-1B Llama-3.2-1B-Q4_K_M.gguf --base Llama-3.2-1B.base\n"
      "  mpirun -n 4 llm-quantize quality report base-F16.gguf base-Q6_K.gguf -o q6.html");
}

void QualityReportParser::add_options(Invocation& invocation) {
  QualityOptions& options = invocation.quality;
  app()
      .add_option("ORIGINAL", options.original,
                  "Hub id org/name[@revision], Hugging Face directory or GGUF file")
      ->type_name(kPathValue)
      ->required();
  app()
      .add_option("QUANTIZED", options.quantized, "GGUF file or W8A8 directory")
      ->type_name(kPathValue)
      ->required();
  text_.add_options(app(), options);
  app().add_flag("--include-layers", options.include_layers,
                 "Also compare the weights, by layer and by tensor");
  app().add_flag("--coherence", options.coherence,
                 "Also let both models write, and score what the file wrote");
  app()
      .add_option("-o,--output", invocation.quality_output,
                  "Also write the report to this .json, .qreport, .csv or .html file")
      ->type_name(kFileValue);
}

void QualityReportParser::finish(Invocation& invocation) const {
  invocation.command = Command::quality_report;
  text_.apply(invocation.quality);
  require_report_extension(invocation.quality_output);
}

}  // namespace

std::unique_ptr<CommandParser> add_quality_report(CommandTree tree) {
  return std::make_unique<QualityReportParser>(tree);
}

}  // namespace llmq::cli
