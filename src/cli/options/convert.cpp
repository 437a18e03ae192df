#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

#include "cli/options/checkpoint.hpp"
#include "cli/options/choices.hpp"
#include "cli/options/commands.hpp"
#include "cli/options/value_types.hpp"

namespace llmq::cli {
namespace {

const Choices<ConvertFormat>& output_formats() {
  static const Choices<ConvertFormat> words = {{"gguf", ConvertFormat::gguf}, {"hf", ConvertFormat::hf}};
  return words;
}

class ConvertParser final : public CommandParser {
 public:
  explicit ConvertParser(CommandTree tree);
  void finish(Invocation& invocation) const override;

 private:
  std::string output_format_;
  CheckpointParser checkpoints_;
};

ConvertParser::ConvertParser(CommandTree tree)
    : CommandParser(
          *tree.root.add_subcommand("convert", "Write a model in another form: GGUF or Hugging Face")) {
  ConvertOptions& options = tree.invocation.convert;
  app()
      .add_option("INPUT", options.input, "Hugging Face or smoothquant directory, or GGUF file")
      ->type_name(kPathValue)
      ->required();
  app()
      .add_option("OUTPUT_FORMAT", output_format_,
                  "gguf: a file for llama.cpp; hf: a directory with config.json and safetensors")
      ->type_name(type_name(output_formats()))
      ->required();
  app()
      .add_option(
          "-q,--quant-level", options.level,
          "File type (default: weights keep their number formats, quantized ones become F16); for hf F32, "
          "F16 or BF16")
      ->type_name(kLevelValue);
  app()
      .add_option("-o,--output-dir", options.output_dir, "Directory of the output")
      ->type_name(kDirectoryValue)
      ->capture_default_str();
  app()
      .add_option("-n,--output-name", options.output_name,
                  "Name of the output (default: MODEL-LEVEL.gguf, MODEL-hf)")
      ->type_name(kNameValue);
  checkpoints_.add_options(app());
  app().add_flag("--force", options.force,
                 "Overwrite an existing output, and go on where weights would be quantized twice");
  app().footer(
      "Examples:\n"
      "  llm-quantize convert ./Llama-3.2-1B gguf\n"
      "  llm-quantize convert Llama-3.2-1B-BF16.gguf hf\n"
      "  llm-quantize convert Llama-3.2-1B-Q8_0.gguf gguf -q Q4_K_M --force\n"
      "  llm-quantize convert ./Llama-3.2-1B-smoothquant-w8a8 gguf -q F16");
}

void ConvertParser::finish(Invocation& invocation) const {
  invocation.command = Command::convert;
  ConvertOptions& options = invocation.convert;
  options.checkpoints = checkpoints_.options();
  for (const auto& [word, value] : output_formats()) {
    if (!equals_ignore_case(output_format_, word)) continue;
    options.format = value;
    return;
  }
  for (const char* known : {"smoothquant", "awq", "gptq", "safetensors", "onnx", "mlx", "exl2"}) {
    if (!equals_ignore_case(output_format_, known)) continue;
    throw Error(ExitCode::unsupported_conversion, fmt::format("convert does not write the format {}", known),
                "Supported: a Hugging Face or smoothquant directory to gguf, a GGUF file to gguf or hf");
  }
  throw Error(ExitCode::invalid_arguments, fmt::format("output format \"{}\" is not known", output_format_),
              fmt::format("Supported: {}", join_words(output_formats(), ", ")));
}

}  // namespace

std::unique_ptr<CommandParser> add_convert(CommandTree tree) { return std::make_unique<ConvertParser>(tree); }

}  // namespace llmq::cli
