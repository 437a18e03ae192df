#include "cli/options/evaluation_text.hpp"

#include <fmt/format.h>

#include "llmq/core/error.hpp"

#include "cli/options/value_types.hpp"

namespace llmq::cli {

void EvaluationTextParser::add_options(CLI::App& command, EvaluationOptions& options) {
  command
      .add_option("--calibration-data", calibration_data_,
                  "Text: .txt, .json or .jsonl (default: built-in evaluation text)")
      ->type_name(kFileValue);
  command.add_option("--text", text_, "Another name of --calibration-data")->type_name(kFileValue);
  command.add_option("--calibration-samples", calibration_samples_, "Chunks of ctx tokens (default: 256)")
      ->check(CLI::Range(std::uint64_t{1}, kMaxSamples));
  command.add_option("--chunks", chunks_, "Another name of --calibration-samples")
      ->check(CLI::Range(std::uint64_t{1}, kMaxSamples));
  command.add_option("--ctx", options.ctx, "Tokens per chunk")
      ->capture_default_str()
      ->check(CLI::Range(std::uint64_t{4}, kMaxCtx));
  command
      .add_option("--base", options.base,
                  "Keep the original's final states in this file, and read them where it is there")
      ->type_name(kFileValue);
}

void EvaluationTextParser::apply(EvaluationOptions& options) const {
  if (!text_.empty() && !calibration_data_.empty()) {
    throw Error(ExitCode::invalid_arguments, "--text and --calibration-data are the same option",
                "Give one of them");
  }
  if (chunks_ && calibration_samples_) {
    throw Error(ExitCode::invalid_arguments, "--chunks and --calibration-samples are the same option",
                "Give one of them");
  }
  if (!text_.empty()) options.text = text_;
  if (!calibration_data_.empty()) options.text = calibration_data_;
  options.chunks = chunks_.value_or(calibration_samples_.value_or(options.chunks));
}

void require_report_extension(const std::string& output) {
  if (output.empty()) return;
  for (const char* extension : {".json", ".qreport", ".csv", ".html"}) {
    if (output.ends_with(extension)) return;
  }
  throw Error(ExitCode::invalid_arguments,
              fmt::format("--output {}: the extension must be .json, .qreport, .csv or .html", output),
              "The extension decides the form of the file");
}

CLI::App& quality_group(CLI::App& root) {
  const auto by_name = [](const CLI::App* command) { return command->get_name() == "quality"; };
  if (const auto made = root.get_subcommands(by_name); !made.empty()) return *made.front();
  CLI::App& group = *root.add_subcommand("quality", "Compare quantized files with their original");
  group.require_subcommand(1);
  group.fallthrough();
  group.footer(
      "Examples:\n"
      "  llm-quantize quality report ./Llama-3.2-1B Llama-3.2-1B-Q4_K_M.gguf\n"
      "  llm-quantize quality compare ./Llama-3.2-1B Llama-3.2-1B-Q4_K_M.gguf Llama-3.2-1B-Q6_K.gguf");
  return group;
}

}  // namespace llmq::cli
