#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

#include "cli/options/checkpoint.hpp"
#include "cli/options/choices.hpp"
#include "cli/options/commands.hpp"
#include "cli/options/dynamic.hpp"
#include "cli/options/plan_changes.hpp"
#include "cli/options/smoothquant.hpp"
#include "cli/options/value_types.hpp"

namespace llmq::cli {
namespace {

std::string level_list() { return fmt::format("{} dynamic", fmt::join(available_levels(), " ")); }

const Choices<Assembly>& assemblies() {
  static const Choices<Assembly> words = {{"shared", Assembly::shared}, {"gather", Assembly::gather}};
  return words;
}

enum class Format { gguf, smoothquant };

const Choices<Format>& output_formats() {
  static const Choices<Format> words = {{"gguf", Format::gguf}, {"smoothquant", Format::smoothquant}};
  return words;
}

/// As llama.cpp has it, N, NK, NM or NG with powers of ten, and sizes with a unit as everywhere here.
std::uint64_t parse_split_size(const std::string& text) {
  const bool letter = !text.empty() && std::string_view("kKmMgG").find(text.back()) != std::string_view::npos;
  const std::optional<std::uint64_t> bytes = parse_size(letter ? text + "B" : text);
  if (bytes && *bytes > 0) return *bytes;
  throw Error(ExitCode::invalid_arguments, fmt::format("--split-max-size: \"{}\" is not a size", text),
              "Write for example 4G, 300M or 1.5GiB");
}

class QuantizeParser final : public CommandParser {
 public:
  explicit QuantizeParser(CommandTree tree);
  void finish(Invocation& invocation) const override;

 private:
  void add_options(QuantizeOptions& options);
  void add_protection(QuantizeOptions& options);

  std::string output_format_;
  std::string assembly_ = "shared";
  std::string split_max_size_;
  DynamicParser dynamic_;
  SmoothQuantParser smoothquant_;
  std::optional<double> protection_coverage_;
  PlanChangesParser changes_;
  CheckpointParser checkpoints_;
};

QuantizeParser::QuantizeParser(CommandTree tree)
    : CommandParser(*tree.root.add_subcommand("quantize", "Make a small model file from a checkpoint")) {
  add_options(tree.invocation.quantize);
  app().footer(
      "Examples:\n"
      "  llm-quantize quantize ./Llama-3.2-1B gguf -q Q4_K_M\n"
      "  llm-quantize quantize ./Llama-3.2-1B gguf -q Q4_K_M --imatrix Llama-3.2-1B.imatrix -o out\n"
      "  llm-quantize quantize ./Llama-3.2-1B gguf -q Q2_K --imatrix Llama-3.2-1B.imatrix "
      "--protect-super-weights\n"
      "  llm-quantize quantize meta-llama/Llama-3.2-1B gguf -q Q6_K --dry-run\n"
      "  llm-quantize quantize ./Llama-3.2-1B gguf -q Q4_K_M --tensor-type 'blk\\.0\\.attn_v=Q8_0'\n"
      "  llm-quantize quantize ./Llama-3.2-1B gguf -q dynamic --target-size 700MB --imatrix "
      "Llama-3.2-1B.imatrix\n"
      "  llm-quantize quantize ./Llama-3.2-1B gguf --dynamic --profile attention-high\n"
      "  llm-quantize quantize ./Llama-3.2-1B smoothquant --alpha auto\n"
      "  mpirun -n 4 llm-quantize quantize ./Llama-3.2-1B gguf -q Q5_K_M");
}

void QuantizeParser::add_options(QuantizeOptions& options) {
  app()
      .add_option("MODEL", options.model, "Hub id org/name[@revision], Hugging Face directory or GGUF file")
      ->type_name(kPathValue)
      ->required();
  app()
      .add_option("OUTPUT_FORMAT", output_format_,
                  "gguf: a file for llama.cpp; smoothquant: a directory for INT8 engines")
      ->type_name(type_name(output_formats()))
      ->required();
  app()
      .add_option("-q,--quant-level", options.level, "File type, needed for gguf: " + level_list())
      ->type_name(kLevelValue);
  app()
      .add_option("-o,--output-dir", options.output_dir, "Directory of the output")
      ->type_name(kDirectoryValue)
      ->capture_default_str();
  app()
      .add_option("-n,--output-name", options.output_name,
                  "Name of the output (default: MODEL-LEVEL.gguf, MODEL-smoothquant-w8a8)")
      ->type_name(kNameValue);
  app()
      .add_option("--imatrix", options.imatrix, "Importance matrix (HDF5, llama.cpp GGUF or .dat)")
      ->type_name(kFileValue);
  add_protection(options);
  dynamic_.add_options(app(), options);
  smoothquant_.add_options(app());
  changes_.add_options(app());
  checkpoints_.add_options(app());
  app()
      .add_option("--assemble", assembly_,
                  "shared: all ranks write into one file; gather: rank 0 writes, for ranks without a common "
                  "file system")
      ->type_name(type_name(assemblies()))
      ->capture_default_str();
  app()
      .add_option("--split-max-size", split_max_size_,
                  "Files of at most this size, NAME-00001-of-0000N.gguf, where one would be larger: N, NM or "
                  "NG, powers of ten")
      ->type_name(kSizeValue);
  app().add_flag("--quality-report", options.quality_report,
                 "Judge the file when it is done, and write NAME.qreport beside it");
  app().add_flag("--coherence-check", options.coherence_check,
                 "Let the file continue prompts when it is done, and the original judge what it wrote");
  app().add_flag("--dry-run", options.dry_run, "Print the plan with exact sizes; write nothing");
  app().add_flag("--allow-requantize", options.allow_requantize, "Accept an already quantized GGUF as MODEL");
  app().add_flag("--force", options.force, "Overwrite an existing output");
}

void QuantizeParser::add_protection(QuantizeOptions& options) {
  app().add_flag("--protect-super-weights", options.protect_super_weights,
                 "Keep the most important single weights as exact as half precision; needs --imatrix");
  app()
      .add_option("--protection-coverage", protection_coverage_,
                  fmt::format("Fraction of all weights that is protected, at most {} (default: {})",
                              kMaxProtectionCoverage, kDefaultProtectionCoverage))
      ->type_name("FLOAT");
  app()
      .add_option("--super-weight-lora", options.super_weight_lora,
                  "Also write a LoRA adapter (GGUF) that restores protected weights exactly")
      ->type_name(kFileValue);
}

Format parse_output_format(const std::string& format) {
  for (const auto& [word, value] : output_formats()) {
    if (equals_ignore_case(format, word)) return value;
  }
  const bool later = equals_ignore_case(format, "awq") || equals_ignore_case(format, "gptq");
  throw Error(later ? ExitCode::unsupported_conversion : ExitCode::invalid_arguments,
              fmt::format("output format \"{}\" is not supported", format),
              fmt::format("Supported: {}", join_words(output_formats(), ", ")));
}

void QuantizeParser::finish(Invocation& invocation) const {
  invocation.command = Command::quantize;
  QuantizeOptions& options = invocation.quantize;
  const bool smoothquant = parse_output_format(output_format_) == Format::smoothquant;
  smoothquant_.apply(app(), smoothquant, options);
  if (!smoothquant) dynamic_.apply(options);
  if (options.level.empty()) {
    throw Error(ExitCode::invalid_arguments, "--quant-level is required for gguf", "Levels: " + level_list());
  }
  if (protection_coverage_) {
    options.protection_coverage = *protection_coverage_;
    if (!options.protect_super_weights) {
      throw Error(ExitCode::invalid_arguments, "--protection-coverage requires --protect-super-weights",
                  "Add --protect-super-weights --imatrix MODEL.imatrix");
    }
  }
  options.assembly = choose(assemblies(), assembly_, "--assemble");
  changes_.apply(options);
  if (app().get_option("--split-max-size")->count() > 0)
    options.changes.split_max_bytes = parse_split_size(split_max_size_);
  options.checkpoints = checkpoints_.options();
}

}  // namespace

std::unique_ptr<CommandParser> add_quantize(CommandTree tree) {
  return std::make_unique<QuantizeParser>(tree);
}

}  // namespace llmq::cli
