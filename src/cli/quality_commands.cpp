#include "cli/quality_commands.hpp"

#include <filesystem>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/pipeline/output_place.hpp"

#include "cli/environment.hpp"
#include "cli/render.hpp"
#include "cli/render_quality.hpp"

namespace llmq::cli {
namespace {

namespace fs = std::filesystem;

/// `of` names the file where there are several.
void warn_above_threshold(const QualityResult& result, const std::string& of, Log& log) {
  const double threshold = quality_threshold_pct();
  if (result.metrics.perplexity_delta_pct <= threshold) return;
  log.warn(fmt::format("{}Quantization quality degradation ({:.0f}%) exceeds threshold ({:.0f}%)", of,
                       result.metrics.perplexity_delta_pct, threshold));
}

/// Before hours of work: can the report be written, and is it none of the inputs and not the base?
void check_report_place(const fs::path& output, const fs::path& original, std::vector<fs::path> inputs,
                        const fs::path& base) {
  if (output.empty()) return;
  inputs.push_back(original);
  require_output_place(output, inputs, "--output");
  if (!base.empty() && is_same_place(base, output)) {  // neither has to be there yet
    throw Error(ExitCode::invalid_arguments,
                fmt::format("{}: --output and --base are the same file", output.string()),
                "Choose another --base");
  }
}

/// The page shows where the errors are, whether or not the command was to list them.
bool is_page(const fs::path& output) { return output.extension() == ".html"; }

void forget_layers(QualityResult& result) {
  result.layer_errors.clear();
  result.tensor_errors.clear();
}

CompareResult as_comparison(const QualityResult& result) {
  CompareResult comparison;
  comparison.original = result.original;
  comparison.candidates = {result};
  return comparison;
}

std::string report_text(const fs::path& output, const QualityResult& result, const Warnings& warnings) {
  if (is_page(output)) return quality_html(result);
  return output.extension() == ".csv" ? compare_csv(as_comparison(result)) : json(result, warnings);
}

std::string report_text(const fs::path& output, const CompareResult& result, const Warnings& warnings) {
  if (is_page(output)) return compare_html(result);
  return output.extension() == ".csv" ? compare_csv(result) : json(result, warnings);
}

}  // namespace

QualityResult run_quality_report(const StageContext& context, const Invocation& invocation) {
  QualityOptions options = invocation.quality;
  const fs::path output = invocation.quality_output;
  options.include_layers = options.include_layers || is_page(output);
  context.comm.together("check the report", [&] {
    if (context.comm.is_root())
      check_report_place(output, options.original, {options.quantized}, options.base);
  });
  QualityResult result = run_quality(context, options);
  context.comm.together("write the report", [&] {
    if (!context.comm.is_root()) return;
    warn_above_threshold(result, "", context.log);
    if (!output.empty()) write_file_atomically(output, report_text(output, result, context.log.warnings()));
  });
  if (!invocation.quality.include_layers) forget_layers(result);
  return result;
}

CompareResult run_quality_compare(const StageContext& context, const Invocation& invocation) {
  CompareOptions options = invocation.compare;
  const fs::path output = invocation.compare_output;
  options.include_layers = is_page(output);
  context.comm.together("check the report", [&] {
    if (context.comm.is_root()) check_report_place(output, options.original, options.quantized, options.base);
  });
  CompareResult result = run_compare(context, options);
  context.comm.together("write the report", [&] {
    if (!context.comm.is_root()) return;
    for (const QualityResult& one : result.candidates)
      warn_above_threshold(one, one.quantized.filename().string() + ": ", context.log);
    if (!output.empty()) write_file_atomically(output, report_text(output, result, context.log.warnings()));
  });
  return result;
}

}  // namespace llmq::cli
