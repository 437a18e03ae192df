#include <cstdlib>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

#include "cli/options/checkpoint.hpp"
#include "cli/options/choices.hpp"
#include "cli/options/commands.hpp"
#include "cli/options/value_types.hpp"

namespace llmq::cli {
namespace {

constexpr double kMaxCoverage = 0.01;
constexpr int kMaxMerged = 1024;

Choices<ImatrixFileFormat> format_choices() {
  Choices<ImatrixFileFormat> choices;
  for (const auto& [format, name] : imatrix_formats()) choices.emplace_back(name, format);
  return choices;
}

class AnalyzeParser final : public CommandParser {
 public:
  explicit AnalyzeParser(CommandTree tree);
  void finish(Invocation& invocation) const override;

 private:
  void add_options(AnalyzeOptions& options);

  std::string method_ = "activation";
  std::string imatrix_format_ = "hdf5";
  std::string layer_groups_ = "auto";
  CheckpointParser checkpoints_;
};

AnalyzeParser::AnalyzeParser(CommandTree tree)
    : CommandParser(
          *tree.root.add_subcommand("analyze", "Measure which weights matter: writes an importance matrix")) {
  add_options(tree.invocation.analyze);
  app().footer(
      "Examples:\n"
      "  llm-quantize analyze ./Llama-3.2-1B\n"
      "  llm-quantize analyze ./Llama-3.2-1B --calibration-data my.txt --calibration-samples 256 -o "
      "my.imatrix\n"
      "  llm-quantize analyze ./Llama-3.2-1B --method fisher --identify-super-weights --report report.html\n"
      "  llm-quantize analyze ./Qwen3-30B-A3B --moe-all-experts\n"
      "  llm-quantize analyze ./Llama-3.2-1B --imatrix-format gguf -o for-llama.cpp.gguf\n"
      "  llm-quantize analyze ./Llama-3.2-1B --merge chat.imatrix code.dat -o all.imatrix\n"
      "  llm-quantize analyze ./Llama-3.2-1B --calibration-samples 0 --merge chat.imatrix code.imatrix -o "
      "both.imatrix\n"
      "  mpirun -n 8 llm-quantize analyze ./Llama-3.1-70B --layer-groups 4\n"
      "  mpirun -n 2 llm-quantize analyze ./Llama-3.1-70B --resume .checkpoint");
}

void AnalyzeParser::add_options(AnalyzeOptions& options) {
  app()
      .add_option("MODEL", options.model, "Hub id org/name[@revision], Hugging Face directory or GGUF file")
      ->type_name(kPathValue)
      ->required();
  app()
      .add_option("-o,--output", options.output, "Output file (default: ./MODEL.imatrix)")
      ->type_name(kFileValue);
  app()
      .add_option("--report", options.report, "Also what was found, as a page (.html) or as data (.json)")
      ->type_name(kFileValue);
  app()
      .add_option("--method", method_, "How importance is measured")
      ->type_name("activation|gradient|fisher")
      ->capture_default_str();
  app()
      .add_option("--calibration-data", options.data,
                  "Text: .txt, .json or .jsonl (default: built-in corpus)")
      ->type_name(kFileValue);
  app()
      .add_option("--calibration-samples", options.samples, "Samples of ctx tokens; 0: only --merge")
      ->capture_default_str()
      ->check(CLI::Range(std::uint64_t{0}, kMaxSamples));
  app().add_flag("--identify-super-weights", options.identify_super_weights,
                 "Find the weights the model cannot do without, prove them, write them into the file");
  app()
      .add_option("--coverage", options.coverage, "Fraction of all weights that counts as protected")
      ->capture_default_str();
  app().add_flag(
      "--moe-all-experts", options.moe_all_experts,
      "Feed every expert all tokens for the statistics of its inputs; what the model computes stays");
  app()
      .add_option("--ctx", options.ctx, "Tokens per sample")
      ->capture_default_str()
      ->check(CLI::Range(std::uint64_t{2}, kMaxCtx));
  app()
      .add_option("--imatrix-format", imatrix_format_,
                  "Form of the output: ours, or one of llama.cpp's, which hold less")
      ->type_name(type_name(format_choices()))
      ->capture_default_str();
  app()
      .add_option("--merge", options.merge, "Add the statistics of other importance matrices, of any form")
      ->type_name(kFileValue)
      ->expected(1, kMaxMerged);
  app()
      .add_option("--layer-groups", layer_groups_, "The L of the L x S grid of ranks")
      ->type_name("N|auto")
      ->capture_default_str();
  checkpoints_.add_options(app());
}

ImportanceMethod parse_method(const std::string& text) {
  if (const auto method = find_method(to_lower(text))) return *method;
  throw Error(ExitCode::invalid_arguments, fmt::format("--method: \"{}\" is unknown", text),
              "Use activation, gradient or fisher");
}

/// Without a pass there is nothing to resume and no text to read.
void check_pass(const AnalyzeOptions& options) {
  if (options.samples > 0) return;
  if (options.merge.empty()) {
    throw Error(ExitCode::invalid_arguments, "--calibration-samples 0 leaves nothing to do without --merge",
                "Give files to --merge, or one sample or more");
  }
  if (options.identify_super_weights) {
    throw Error(ExitCode::invalid_arguments, "--identify-super-weights needs a pass, and so samples",
                "Give --calibration-samples a number");
  }
  if (options.data || options.checkpoints.resume || options.moe_all_experts) {
    throw Error(ExitCode::invalid_arguments,
                fmt::format("{} has no meaning with --calibration-samples 0",
                            options.data                 ? "--calibration-data"
                            : options.checkpoints.resume ? "--resume"
                                                         : "--moe-all-experts"),
                "Without samples the files of --merge are added, and nothing is computed");
  }
}

std::uint32_t parse_layer_groups(const std::string& text) {
  char* end = nullptr;
  const unsigned long groups = std::strtoul(text.c_str(), &end, 10);
  if (*end != '\0' || groups == 0 || groups > 4096 || text.front() == '-') {
    throw Error(ExitCode::invalid_arguments,
                fmt::format("--layer-groups: \"{}\" is neither auto nor a number", text), "");
  }
  return static_cast<std::uint32_t>(groups);
}

void check_report_extension(const std::filesystem::path& report) {
  if (report.empty() || report.extension() == ".html" || report.extension() == ".json") return;
  throw Error(ExitCode::invalid_arguments,
              fmt::format("--report: {} is neither .html nor .json", report.string()),
              "Name a file that ends in .html (a page) or .json (data)");
}

void AnalyzeParser::finish(Invocation& invocation) const {
  invocation.command = Command::analyze;
  AnalyzeOptions& options = invocation.analyze;
  options.format = choose(format_choices(), imatrix_format_, "--imatrix-format");
  if (!equals_ignore_case(layer_groups_, "auto")) options.layer_groups = parse_layer_groups(layer_groups_);
  options.method = parse_method(method_);
  check_report_extension(options.report);
  if (!(options.coverage > 0 && options.coverage <= kMaxCoverage)) {
    throw Error(ExitCode::invalid_arguments,
                fmt::format("--coverage: {} is not in (0, 0.01]", options.coverage),
                "The default, 0.0001, is one weight in ten thousand");
  }
  options.checkpoints = checkpoints_.options();
  check_pass(options);
}

}  // namespace

std::unique_ptr<CommandParser> add_analyze(CommandTree tree) { return std::make_unique<AnalyzeParser>(tree); }

}  // namespace llmq::cli
