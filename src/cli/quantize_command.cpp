#include "cli/quantize_command.hpp"

#include <fmt/format.h>

#include "llmq/core/file.hpp"

#include "cli/environment.hpp"
#include "cli/render.hpp"
#include "cli/render_quality.hpp"

namespace llmq::cli {
QuantizeResult run_quantize_command(const StageContext& context, const QuantizeOptions& options) {
  QuantizeResult result = run_quantize(context, options);
  if (!options.quality_report || options.dry_run) return result;
  QualityOptions quality;
  quality.original = options.model;
  quality.quantized = result.output_path;
  quality.include_layers = true;  // for who reads the report later
  QualityResult judgement = run_quality(context, quality);
  result.quality_path = quality_report_path(result.output_path);
  context.comm.together("write the report", [&] {
    if (!context.comm.is_root()) return;
    write_file_atomically(result.quality_path, json(judgement, context.log.warnings()));
  });
  result.quality = std::move(judgement);
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
