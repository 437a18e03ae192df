// Order of a run: check, samples, grid, walk, reduce, write.
// SPDX-License-Identifier: Apache-2.0
#include "llmq/pipeline/analyze.hpp"

#include <chrono>
#include <cmath>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"
#include "llmq/embedded/texts.hpp"
#include "llmq/formats/imatrix.hpp"
#include "llmq/hub/cache.hpp"
#include "llmq/pipeline/quantize.hpp"

#include "pipeline/analyze_merge.hpp"
#include "pipeline/analyze_output.hpp"
#include "pipeline/analyze_run.hpp"
#include "pipeline/imatrix_cache.hpp"
#include "pipeline/super_weights.hpp"
#include "pipeline/weight_coverage.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kFewSamples = 128;
constexpr std::uint64_t kManySamples = 1024;

void warn_about_samples(Log& log, const SampleSet& samples, std::uint64_t requested) {
  const std::uint64_t count = samples.samples.size();
  if (count < requested) {
    log.status(fmt::format("Note: the text gives {} samples of {} tokens, {} were asked for", count,
                           samples.ctx, requested));
  }
  if (count < kFewSamples)
    log.warn(fmt::format("{} calibration samples are few; {} or more are better", count, kFewSamples));
  if (count > kManySamples) log.warn(fmt::format("{} calibration samples take long and rarely help", count));
}

/// The smallest L that fits the memory limit; L given by the user is only checked.
GridPlace choose_grid(const StageContext& context, const ModelSource& source, const AnalyzeOptions& options,
                      const SampleSet& samples) {
  const auto ranks = static_cast<std::uint32_t>(context.comm.size());
  const auto rank = static_cast<std::uint32_t>(context.comm.rank());
  const std::uint32_t n_layers = source.spec().n_layers;
  const std::unique_ptr<ForwardPass> pass = make_forward_pass(source.spec());
  context.log.detail(pass->description());
  std::uint64_t needed = 0;
  const auto fits = [&](const GridPlace& grid) {
    needed = AnalyzeRun::planned_bytes(source, *pass, options.method, context.threads, samples.samples.size(),
                                       samples.ctx, grid);
    return needed <= context.memory_limit_bytes;
  };
  if (options.layer_groups > 0) {
    const GridPlace grid = place_in_grid(rank, ranks, options.layer_groups, n_layers);
    if (!fits(grid)) require_memory(context, needed, "the analyze plan");
    return grid;
  }
  std::uint64_t smallest = ~std::uint64_t{0};
  for (std::uint32_t groups = 1; groups <= std::min(ranks, n_layers); ++groups) {
    if (ranks % groups != 0) continue;
    // Judged for the first layer group, which never holds fewer layers than the others: every rank decides
    // alike.
    if (fits(place_in_grid(0, ranks, groups, n_layers))) return place_in_grid(rank, ranks, groups, n_layers);
    smallest = std::min(smallest, needed);
  }
  require_memory(context, smallest, "the analyze plan");
  throw InternalError("no grid was chosen");
}

JobIdentity identify(const AnalyzeOptions& options, const std::string& model, const Tokenizer& tokenizer,
                     const SampleSet& samples) {
  JobIdentity identity("analyze");
  identity.add("version", LLMQ_VERSION);
  identity.add("model", model);
  identity.add("tokenizer", tokenizer.content_hash());
  identity.add("method", std::string(row_of(options.method).name));
  identity.add("data", samples.dataset_hash);
  identity.add("samples", std::to_string(samples.samples.size()));
  identity.add("ctx", std::to_string(samples.ctx));
  if (options.moe_all_experts) identity.add("experts see", "all tokens");
  return identity;
}

/// What is known before the pass, on every rank.
struct AnalyzePlan {
  std::unique_ptr<ModelSource> source;
  std::unique_ptr<Tokenizer> tokenizer;
  SampleSet samples;
  GridPlace grid;
  std::string fingerprint;
  std::optional<JobIdentity> identity;
  std::vector<NamedImatrix> merge_files;  ///< on rank 0
};

/// Collective: reads what the run needs and checks what can be checked before it.
AnalyzePlan make_plan(const StageContext& context, const AnalyzeOptions& options,
                      const AnalyzeResult& result) {
  AnalyzePlan plan;
  context.comm.together("plan", [&] {
    plan.source = open_model(options.model);
    if (options.moe_all_experts && plan.source->spec().n_experts == 0)
      context.log.warn("--moe-all-experts changes nothing: this model has no experts");
    if (context.comm.is_root()) require_analyze_output(options, result.output_path);
    plan.tokenizer = make_tokenizer(plan.source->vocabulary());
    plan.samples = make_samples({options.data, embedded_calibration_text(), "llm-quantize-calibration",
                                 options.ctx, options.samples, plan.source->spec().context_length},
                                *plan.tokenizer, context.log);
    warn_about_samples(context.log, plan.samples, options.samples);
    plan.fingerprint = plan.source->fingerprint();
    plan.identity = identify(options, plan.fingerprint, *plan.tokenizer, plan.samples);
    plan.grid = choose_grid(context, *plan.source, options, plan.samples);
    if (context.comm.is_root()) {
      plan.merge_files = read_merge_files(options.merge, *plan.source);
      require_mergeable_with(plan.merge_files, result.method, "sha256:" + plan.fingerprint,
                             "sha256:" + plan.tokenizer->content_hash());
    }
  });
  return plan;
}

/// Rank 0: the run's statistics, and those of the files to be merged with them.
Imatrix assemble(const std::vector<LayerStatistics>& totals, const std::string& method, AnalyzePlan& plan,
                 Log& log) {
  Imatrix imatrix;
  for (std::uint32_t layer = 0; layer < totals.size(); ++layer)
    totals[layer].write(layer, *plan.source, imatrix);
  imatrix.method = method;
  imatrix.dataset_name = plan.samples.dataset_name;
  imatrix.dataset_hash = "sha256:" + plan.samples.dataset_hash;
  imatrix.model_hash = "sha256:" + plan.fingerprint;
  imatrix.tokenizer_hash = "sha256:" + plan.tokenizer->content_hash();
  imatrix.ctx = plan.samples.ctx;
  imatrix.samples = plan.samples.samples.size();
  if (plan.merge_files.empty()) return imatrix;
  plan.merge_files.push_back({"this run", std::move(imatrix)});
  return merge_and_tell(std::move(plan.merge_files), log);
}

/// Collective. The imatrix is whole on rank 0 only, which gets the super weights.
void identify_super_weights(const StageContext& context, const AnalyzeOptions& options,
                            const JobDirectory& job, const ModelSource& source, const SampleSet& samples,
                            Imatrix& imatrix) {
  context.log.status(fmt::format("Identifying super weights (coverage: {:g}%)", 100 * options.coverage));
  SuperWeights& found = imatrix.super_weights;
  try {
    found.spikes = prove(context, source, samples, find_candidates(context, source, samples));
    found.covered = find_covered(context, source, imatrix, options.coverage);
  } catch (const Error& error) {
    if (error.code() != ExitCode::interrupted || !job.enabled()) throw;
    throw Error(ExitCode::interrupted, "interrupted; a checkpoint is committed",
                fmt::format("Continue with --resume {}", job.path().string()));
  }
  found.searched = true;
  found.coverage = options.coverage;
  if (!context.comm.is_root()) return;
  context.log.status(fmt::format("Protected parameters: {} ({:g}%)",
                                 format_count(imatrix.count_super_weights()), 100 * options.coverage));
  context.log.status(found.spikes.empty()
                         ? std::string("No super weights: no single weight of this model causes spikes")
                         : fmt::format("Super weights: {}", found.spikes.size()));
}

/// Collective: what the run took.
void collect_costs(const StageContext& context, const AnalyzeRun& run, AnalyzeResult& result) {
  result.timelines = run.timelines();
  log_timelines(context.log, result.timelines);
  for (const char* phase :
       {"load", "compute", "exchange", "checkpoint", "matmul", "attention", "elementwise", "statistics"}) {
    const auto found = run.seconds().find(phase);
    const auto micros = static_cast<std::int64_t>((found == run.seconds().end() ? 0.0 : found->second) * 1e6);
    result.phase_seconds[phase] =
        static_cast<double>(context.comm.all_reduce_value(micros, comm::ReduceOp::max, "collect times")) *
        1e-6;
  }
  result.peak_memory_bytes = context.comm.all_reduce_value<std::uint64_t>(
      peak_memory_bytes(), comm::ReduceOp::max, "collect memory figures");
}

/// Collective: the pass, and all that is made of it.
void analyze(const StageContext& context, const AnalyzeOptions& options, AnalyzePlan& plan,
             AnalyzeResult& result) {
  context.log.status(fmt::format("Collecting calibration data: {} samples", plan.samples.samples.size()));
  context.log.status(fmt::format("Ranks: {} layer groups x {} sample groups", plan.grid.layer_groups,
                                 plan.grid.sample_groups));
  context.log.status(fmt::format("Computing importance matrix ({})", result.method));
  JobDirectory job(context, options.checkpoints, *plan.identity);
  AnalyzeRun run(context, *plan.source, plan.samples, plan.grid, job, options);
  if (job.resuming()) run.resume();
  run.execute();
  if (options.identify_super_weights) run.commit_finished();
  const std::vector<LayerStatistics> totals = run.take_totals();
  Imatrix imatrix;  // whole on rank 0
  context.comm.together("put the imatrix together", [&] {
    if (context.comm.is_root()) imatrix = assemble(totals, result.method, plan, context.log);
  });
  if (options.identify_super_weights)
    identify_super_weights(context, options, job, *plan.source, plan.samples, imatrix);
  context.comm.together("write the imatrix", [&] {
    if (!context.comm.is_root()) return;
    publish_imatrix(imatrix, options, context.log, result);
    publish_report(imatrix, plan.source->spec(), options, result);
    result.super_weights_identified = options.identify_super_weights;
    result.coverage = imatrix.super_weights.coverage;
    result.total_protected = imatrix.count_super_weights();
    result.super_weights = imatrix.super_weights.spikes;
  });
  job.remove();
  result.resumed = run.resumed();
  collect_costs(context, run, result);
}

}  // namespace

fs::path default_imatrix_path(const fs::path& model) { return model_base_name(model) + ".imatrix"; }

AnalyzeResult run_analyze(const StageContext& context, const AnalyzeOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  AnalyzeResult result;
  result.model_path = hub::model_title(options.model);
  result.output_path = options.output.empty() ? default_imatrix_path(options.model) : options.output;
  result.method = row_of(options.method).long_name;
  if (options.samples == 0) {
    run_merge(context, options, result);
    return result;
  }
  context.log.status(fmt::format("Loading model: {}", hub::model_title(options.model).string()));
  AnalyzePlan plan = make_plan(context, options, result);
  result.num_layers = plan.source->spec().n_layers;
  result.calibration_samples = plan.samples.samples.size();
  result.ctx = plan.samples.ctx;
  result.layer_groups = plan.grid.layer_groups;
  result.sample_groups = plan.grid.sample_groups;
  if (!options.cache_directory.empty()) {
    const CachePlace place = find_cached(context, options.cache_directory, plan.identity->key());
    result.output_path = place.path;
    result.from_cache = place.found;
  }
  if (result.from_cache) {
    context.log.status(
        fmt::format("Using the importance matrix of an earlier run: {}", result.output_path.string()));
    return result;
  }
  analyze(context, options, plan, result);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.tokens_per_second = static_cast<double>(result.calibration_samples * result.ctx) / result.seconds;
  context.log.status(fmt::format("Complete: {}", result.output_path.string()));
  return result;
}

}  // namespace llmq
