#include "cli/quantize_command.hpp"

#include <fmt/format.h>

#include "llmq/core/file.hpp"

#include "cli/environment.hpp"
#include "cli/render.hpp"
#include "cli/render_quality.hpp"

namespace llmq::cli {
namespace {

/// Collective: work(context) where the file can be read. With --assemble gather that is rank 0: the others
/// wait.
template <class Work>
void where_the_file_is(const StageContext& context, const QuantizeOptions& options, const Work& work) {
  if (options.assembly == Assembly::shared) return work(context);
  context.comm.together("judge the file", [&] {
    if (!context.comm.is_root()) return;
    const Communicator alone = Communicator::serial();
    work(StageContext{alone, context.log, context.threads, context.memory_limit_bytes});
  });
}

void write_report(const StageContext& context, const QuantizeResult& result) {
  context.comm.together("write the report", [&] {
    if (context.comm.is_root())
      write_file_atomically(result.quality_path, json(*result.quality, context.log.warnings()));
  });
}

void judge_quality(const StageContext& context, const QuantizeOptions& options, QuantizeResult& result) {
  QualityOptions quality;
  quality.original = options.model;
  quality.quantized = result.output_path;
  quality.include_layers = true;  // for who reads the report later
  where_the_file_is(context, options,
                    [&](const StageContext& here) { result.quality = run_quality(here, quality); });
  if (!result.quality) result.quality.emplace();  // its figures are on rank 0
  result.quality_path = quality_report_path(result.output_path);
  write_report(context, result);
}

void check_coherence(const StageContext& context, const QuantizeOptions& options, QuantizeResult& result) {
  context.log.status("Checking coherence...");
  where_the_file_is(context, options, [&](const StageContext& here) {
    result.coherence = run_coherence(here, options.model, result.output_path);
  });
  if (!result.quality) return;
  if (result.coherence) result.quality->coherence_score = result.coherence->figures.score;
  write_report(context, result);
}

}  // namespace

QuantizeResult run_quantize_command(const StageContext& context, const QuantizeOptions& options) {
  context.comm.together("plan", [&] {
    if (options.coherence_check) {
      (void)coherence_threshold();
      check_coherence_plan(context, options.model);
    }
  });
  QuantizeResult result =
      options.smoothquant ? run_smoothquant(context, options) : run_quantize(context, options);
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
