#include "cli/quantize_command.hpp"

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/pipeline/output_place.hpp"

#include "cli/environment.hpp"
#include "cli/render.hpp"

namespace llmq::cli {
namespace {

namespace fs = std::filesystem;

fs::path report_path(const QuantizeOptions& options) {
  fs::path path =
      quantized_path(options.model, canonical_level(options.level), options.output_dir, options.output_name);
  return path.replace_extension(".qreport");
}

void check_report(const QuantizeOptions& options, const fs::path& report) {
  require_output_place(report, {options.model}, "--output-name or --output-dir");
  if (!fs::exists(report) || options.force) return;
  throw Error(ExitCode::invalid_arguments, fmt::format("{}: report exists already", report.string()),
              "Use --force to overwrite it, or choose another --output-name");
}

}  // namespace

QuantizeResult run_quantize_command(const StageContext& context, const QuantizeOptions& options) {
  const bool judged = options.quality_report && !options.dry_run;
  fs::path report;
  if (judged) {
    context.comm.together("check the report", [&] {
      report = report_path(options);
      if (context.comm.is_root()) check_report(options, report);
    });
  }
  QuantizeResult result = run_quantize(context, options);
  if (!judged) return result;
  QualityOptions quality;
  quality.original = options.model;
  quality.quantized = result.output_path;
  QualityResult judgement = run_quality(context, quality);
  context.comm.together("write the report", [&] {
    if (!context.comm.is_root()) return;
    write_file_atomically(report, json(judgement, context.log.warnings()));
  });
  result.quality = std::move(judgement);
  result.quality_path = report;
  return result;
}

std::string degradation(const QuantizeResult& result) {
  if (!result.quality) return {};
  const double threshold = quality_threshold_pct();
  if (result.quality->metrics.perplexity_delta_pct <= threshold) return {};
  return fmt::format("Quantization quality degradation ({:.0f}%) exceeds threshold ({:.0f}%)",
                     result.quality->metrics.perplexity_delta_pct, threshold);
}

}  // namespace llmq::cli
