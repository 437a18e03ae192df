#include <sstream>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

#include "cli/options/commands.hpp"
#include "cli/options/evaluation_text.hpp"
#include "cli/options/value_types.hpp"

namespace llmq::cli {
namespace {

MetricSet chosen_metrics(const std::string& list) {
  if (list.empty()) return {};
  MetricSet set{false, false, false, false};
  std::istringstream names(list);
  for (std::string name; std::getline(names, name, ',');) {
    const std::string word = to_lower(name);
    if (word == "all") {
      set = {};
    } else if (word == "perplexity") {
      set.perplexity = true;
    } else if (word == "size") {
      set.size = true;
    } else if (word == "bpw") {
      set.bpw = true;
    } else if (word == "kld") {
      set.kld = true;
    } else {
      throw Error(ExitCode::invalid_arguments, fmt::format("--metrics: \"{}\" is not a metric", name),
                  "Metrics: perplexity, size, bpw, kld, all, separated by commas");
    }
  }
  return set;
}

class QualityCompareParser final : public CommandParser {
 public:
  explicit QualityCompareParser(CommandTree tree);
  void finish(Invocation& invocation) const override;

 private:
  void add_options(Invocation& invocation);

  std::string metrics_;
  EvaluationTextParser text_;
};

QualityCompareParser::QualityCompareParser(CommandTree tree)
    : CommandParser(*quality_group(tree.root).add_subcommand(
          "compare", "Several files beside their original, in one pass")) {
  add_options(tree.invocation);
  app().footer(
      "Examples:\n"
      "  llm-quantize quality compare ./Llama-3.2-1B Llama-3.2-1B-Q4_K_M.gguf Llama-3.2-1B-Q6_K.gguf\n"
      "  llm-quantize quality compare ./Llama-3.2-1B *.gguf --metrics size,bpw --format csv\n"
      "  mpirun -n 4 llm-quantize quality compare base-F16.gguf base-Q4_0.gguf base-Q4_K_S.gguf -o all.csv");
}

void QualityCompareParser::add_options(Invocation& invocation) {
  CompareOptions& options = invocation.compare;
  app()
      .add_option("ORIGINAL", options.original,
                  "Hub id org/name[@revision], Hugging Face directory or GGUF file")
      ->type_name(kPathValue)
      ->required();
  app()
      .add_option("QUANTIZED", options.quantized, "GGUF files and W8A8 directories")
      ->type_name(kPathValue)
      ->required()
      ->expected(1, 1024);
  app()
      .add_option("--metrics", metrics_, "Some of perplexity,size,bpw,kld (default: all)")
      ->type_name("METRIC,...");
  text_.add_options(app(), options);
  app()
      .add_option("-o,--output", invocation.compare_output,
                  "Also write the comparison to this .json, .qreport, .csv or .html file")
      ->type_name(kFileValue);
}

void QualityCompareParser::finish(Invocation& invocation) const {
  invocation.command = Command::quality_compare;
  text_.apply(invocation.compare);
  invocation.compare.metrics = chosen_metrics(metrics_);
  require_report_extension(invocation.compare_output);
}

}  // namespace

std::unique_ptr<CommandParser> add_quality_compare(CommandTree tree) {
  return std::make_unique<QualityCompareParser>(tree);
}

}  // namespace llmq::cli
