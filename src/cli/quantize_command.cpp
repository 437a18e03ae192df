#include "cli/quantize_command.hpp"

#include <fmt/format.h>

#include "llmq/core/file.hpp"

#include "cli/environment.hpp"
#include "cli/render.hpp"
#include "cli/render_quality.hpp"

namespace llmq::cli {
namespace {

void judge_quality(const StageContext& context, const QuantizeOptions& options, QuantizeResult& result) {
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
}

/// With --assemble gather the file is where rank 0 is: the others wait.
void check_coherence(const StageContext& context, const QuantizeOptions& options, QuantizeResult& result) {
  context.log.status("Checking coherence...");
  if (options.assembly == Assembly::shared) {
    result.coherence = run_coherence(context, options.model, result.output_path);
    return;
  }
  context.comm.together("check coherence", [&] {
    if (!context.comm.is_root()) return;
    const Communicator alone = Communicator::serial();
    const StageContext here{alone, context.log, context.threads, context.memory_limit_bytes};
    result.coherence = run_coherence(here, options.model, result.output_path);
  });
}

}  // namespace

QuantizeResult run_quantize_command(const StageContext& context, const QuantizeOptions& options) {
  context.comm.together("plan", [&] {
    if (options.coherence_check) {
      (void)coherence_threshold();
      check_coherence_plan(context, options.model);
    }
  });
  QuantizeResult result = run_quantize(context, options);
  if (options.dry_run) return result;
  if (options.quality_report) judge_quality(context, options, result);
  if (options.coherence_check) check_coherence(context, options, result);
  return result;
}

Verdict verdict(const QuantizeResult& result) {
  Verdict both;
  const auto add = [&](ExitCode code, const std::string& message) {
    const Error error(code, message);
    if (both.code == ExitCode::ok) both.code = code;
    both.message += (both.message.empty() ? "" : "; ") + message;
    both.suggestion += (both.suggestion.empty() ? "" : ". ") + error.suggestion();
  };
  if (result.quality) {
    const double threshold = quality_threshold_pct();
    const double growth = result.quality->metrics.perplexity_delta_pct;
    if (growth > threshold) {
      add(ExitCode::quality_degradation,
          fmt::format("Quantization quality degradation ({:.0f}%) exceeds threshold ({:.0f}%)", growth,
                      threshold));
    }
  }
  if (result.coherence && result.coherence->figures.score < coherence_threshold()) {
    add(ExitCode::coherence_check,
        fmt::format("Model output coherence check failed (score: {:.2f})", result.coherence->figures.score));
  }
  return both;
}

}  // namespace llmq::cli
