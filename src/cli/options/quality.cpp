#include <fmt/format.h>

#include "llmq/core/error.hpp"

#include "cli/options/commands.hpp"
#include "cli/options/value_types.hpp"

namespace llmq::cli {
namespace {

/// `quality` only holds its subcommands; the first of them to be added makes it.
CLI::App& quality_group(CLI::App& root) {
  const auto by_name = [](const CLI::App* command) { return command->get_name() == "quality"; };
  if (const auto made = root.get_subcommands(by_name); !made.empty()) return *made.front();
  CLI::App& group = *root.add_subcommand("quality", "Compare a quantized file with its original");
  group.require_subcommand(1);
  group.fallthrough();
  group.footer("Example:\n  llm-quantize quality report ./Llama-3.2-1B Llama-3.2-1B-Q4_K_M.gguf");
  return group;
}

class QualityReportParser final : public CommandParser {
 public:
  explicit QualityReportParser(CommandTree tree);
  void finish(Invocation& invocation) const override;

 private:
  void add_options(Invocation& invocation);

  std::string text_;
  std::string calibration_data_;
  std::optional<std::uint64_t> chunks_;
  std::optional<std::uint64_t> calibration_samples_;
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
      "  mpirun -n 4 llm-quantize quality report base-F16.gguf base-Q6_K.gguf --include-layers --format "
      "json");
}

void QualityReportParser::add_options(Invocation& invocation) {
  QualityOptions& options = invocation.quality;
  app()
      .add_option("ORIGINAL", options.original, "Hugging Face directory or GGUF file")
      ->type_name(kPathValue)
      ->required();
  app().add_option("QUANTIZED", options.quantized, "GGUF file")->type_name(kFileValue)->required();
  app()
      .add_option("--calibration-data", calibration_data_,
                  "Text: .txt, .json or .jsonl (default: built-in evaluation text)")
      ->type_name(kFileValue);
  app().add_option("--text", text_, "Another name of --calibration-data")->type_name(kFileValue);
  app()
      .add_option("--calibration-samples", calibration_samples_, "Chunks of ctx tokens (default: 256)")
      ->check(CLI::Range(std::uint64_t{1}, kMaxSamples));
  app()
      .add_option("--chunks", chunks_, "Another name of --calibration-samples")
      ->check(CLI::Range(std::uint64_t{1}, kMaxSamples));
  app()
      .add_option("--ctx", options.ctx, "Tokens per chunk")
      ->capture_default_str()
      ->check(CLI::Range(std::uint64_t{4}, kMaxCtx));
  app().add_flag("--include-layers", options.include_layers,
                 "Also compare the weights, by layer and by tensor");
  app()
      .add_option("-o,--output", invocation.quality_output,
                  "Also write the report to this .json or .qreport file")
      ->type_name(kFileValue);
}

void QualityReportParser::finish(Invocation& invocation) const {
  invocation.command = Command::quality_report;
  if (!text_.empty() && !calibration_data_.empty()) {
    throw Error(ExitCode::invalid_arguments, "--text and --calibration-data are the same option",
                "Give one of them");
  }
  if (chunks_ && calibration_samples_) {
    throw Error(ExitCode::invalid_arguments, "--chunks and --calibration-samples are the same option",
                "Give one of them");
  }
  if (!text_.empty()) invocation.quality.text = text_;
  if (!calibration_data_.empty()) invocation.quality.text = calibration_data_;
  if (chunks_) invocation.quality.chunks = *chunks_;
  if (calibration_samples_) invocation.quality.chunks = *calibration_samples_;
  const std::string& output = invocation.quality_output;
  if (!output.empty() && !output.ends_with(".json") && !output.ends_with(".qreport")) {
    throw Error(ExitCode::invalid_arguments,
                fmt::format("--output {}: the extension must be .json or .qreport", output), "");
  }
}

}  // namespace

std::unique_ptr<CommandParser> add_quality_report(CommandTree tree) {
  return std::make_unique<QualityReportParser>(tree);
}

}  // namespace llmq::cli
