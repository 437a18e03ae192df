#include "pipeline/analyze_run.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/thread_clock.hpp"
#include "llmq/pipeline/interrupt.hpp"

namespace llmq {
namespace {

constexpr double kMaxCommitShare = 0.05;    // of the run's time, unless an interval is given
constexpr double kFirstCommitSeconds = 10;  // before the first commit its cost is unknown
constexpr const char* kCheckWeights =
    "Check the weights of this layer with: llm-quantize quantize MODEL gguf -q F32 --dry-run";
constexpr double kBackwardCost = 3;  // of a layer, over forward: forward again, and two products for one

/// The first weight that reads an input.
std::string first_weight_of(const ModelSpec& spec, std::uint32_t layer, MatmulInput input) {
  const std::span<const LayerWeight> weights = layer_weights(spec);
  const auto reads = [&](const LayerWeight& weight) { return weight.input == input; };
  const auto found = std::find_if(weights.begin(), weights.end(), reads);
  return fmt::format("blk.{}.{}", layer, found == weights.end() ? "ffn_gate_inp.weight" : found->name);
}

}  // namespace

AnalyzeRun::AnalyzeRun(const StageContext& context, const ModelSource& source, const SampleSet& samples,
                       const GridPlace& grid, const JobDirectory& job, const AnalyzeOptions& options)
    : context_(context),
      source_(source),
      samples_(samples),
      grid_(grid),
      timeline_(context.threads),
      job_(job),
      options_(options.checkpoints),
      method_(options.method),
      watched_(options.moe_all_experts ? ExpertTokens::all : ExpertTokens::given),
      row_(context.comm.split(static_cast<int>(grid.sample_group), static_cast<int>(grid.layer_group))),
      pass_(make_forward_pass(source.spec())),
      loader_(make_weight_loader(source)),
      mine_(samples_of_group(grid.sample_group, grid.sample_groups, samples.samples.size())),
      progress_(samples.samples.size(), 0),
      touched_(source.spec().n_layers, 0) {
  deltas_.resize(n_layers());
  if (context_.comm.is_root()) totals_.assign(n_layers(), LayerStatistics(source.spec(), method_));
}

double AnalyzeRun::clock_seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

std::uint64_t AnalyzeRun::planned_bytes(const ModelSource& source, const ForwardPass& pass,
                                        ImportanceMethod method, std::size_t threads, std::uint64_t samples,
                                        std::uint64_t ctx, const GridPlace& grid) {
  const ModelSpec& spec = source.spec();
  std::vector<std::uint64_t> layer_bytes(spec.n_layers, 0);
  for (const ModelTensor& tensor : source.tensors()) {
    if (tensor.layer >= 0) layer_bytes[static_cast<std::size_t>(tensor.layer)] += tensor.elements() * 4;
  }
  const std::uint64_t largest = *std::max_element(layer_bytes.begin(), layer_bytes.end());
  const LayerRange range = layers_of_group(grid.layer_group, grid.layer_groups, spec.n_layers);
  std::uint64_t weights = largest;
  if (grid.layer_groups > 1) {
    weights = 0;
    for (std::uint32_t layer = range.begin; layer < range.end; ++layer) weights += layer_bytes[layer];
  }
  const std::uint64_t per_group = (samples + grid.sample_groups - 1) / grid.sample_groups;
  std::uint64_t held = grid.layer_groups == 1 ? per_group : 2 * threads;
  std::uint64_t scratch = threads * pass.scratch_bytes(ctx);
  if (row_of(method).needs_gradient) {
    // The boundaries of a wave, and beside them for a moment its gradients before the head.
    held = wave_samples(threads, per_group, grid, spec.n_layers) * (range.end - range.begin + 2);
    scratch = threads * (pass.backward_scratch_bytes(ctx) + LayerStatistics::sample_bytes(spec, method)) +
              kHeadPartRows * 4 * std::uint64_t{spec.hidden_size};
  }
  const std::uint64_t states = held * ctx * spec.hidden_size * 4;
  const std::uint64_t accumulators = LayerStatistics::bytes(spec, method) * (spec.n_layers * 2 + threads);
  constexpr std::uint64_t kProgramBytes = std::uint64_t{256} << 20;  // libtorch and BLAS
  // Loading a layer holds one tensor twice for a moment: count the largest layer once more.
  return kProgramBytes + weights + largest + states + accumulators + scratch;
}

void AnalyzeRun::execute() {
  bar_ = std::make_unique<ProgressBar>(context_.log, "Analyzing", n_layers(), "layers");
  last_commit_ = clock_seconds();
  const bool one_group = grid_.layer_groups == 1;
  if (with_gradient()) {
    one_group ? walk_waves() : walk_waves_pipeline();
  } else {
    one_group ? walk_layers() : walk_pipeline();
  }
  bar_->finish();
  const StageSeconds stages = pass_->stage_seconds();
  seconds_["matmul"] = stages.matmul;
  seconds_["attention"] = stages.attention;
  seconds_["elementwise"] = stages.elementwise;
  seconds_["statistics"] = static_cast<double>(statistics_nanoseconds_.load()) * 1e-9;
}

void AnalyzeRun::check_state(std::uint64_t sample, std::span<const float> state,
                             std::string_view what) const {
  bool sound = true;  // no early exit: such a loop becomes vector code
  for (const float value : state) sound &= std::fabs(value) <= std::numeric_limits<float>::max();
  if (sound) return;
  const auto bad =
      std::find_if(state.begin(), state.end(), [](float value) { return !std::isfinite(value); });
  throw Error(ExitCode::importance, fmt::format("{} gives {} for sample {}", what, *bad, sample),
              kCheckWeights);
}

void AnalyzeRun::run_forward(std::uint64_t sample, std::uint32_t layer, const LayerWeights& weights,
                             std::span<float> hidden, LayerStatistics& into) {
  const auto observer = [&](const MatmulRows& rows) {
    const std::int64_t start = thread_cpu_nanoseconds();
    try {
      into.input(rows).add_sample(rows.x);
    } catch (const Error& error) {
      if (error.code() != ExitCode::importance) throw;
      throw Error(ExitCode::importance,
                  fmt::format("layer {}, input of {}, sample {}: {}", layer,
                              first_weight_of(source_.spec(), layer, rows.input), sample, error.what()),
                  kCheckWeights);
    }
    statistics_nanoseconds_ += thread_cpu_nanoseconds() - start;
  };
  pass_->run_layer(weights, hidden, observer, {}, watched_);
  // All inputs were sound: what is not comes from the last product.
  check_state(sample, hidden,
              fmt::format("layer {}: blk.{}.{}", layer, layer, layer_weights(source_.spec()).back().name));
}

void AnalyzeRun::advance_sample(std::uint64_t sample, std::uint32_t layer, const LayerWeights& weights,
                                LayerStatistics& into) {
  const TimelineScope computing(timeline_, Activity::compute);
  std::vector<float>& hidden = state(sample, layer);
  if (layer == 0) embed_tokens(source_, samples_.samples[sample], hidden);
  run_forward(sample, layer, weights, hidden, into);
}

double AnalyzeRun::done_share(const std::vector<std::uint64_t>& samples) const {
  const double forward = n_layers();
  const double all = with_gradient() ? (1 + kBackwardCost) * forward : forward;
  double done = 0;
  for (const std::uint64_t sample : samples) {
    const double steps = progress_[sample];
    done += std::min(steps, forward) + kBackwardCost * std::max(0.0, steps - forward - 1);
  }
  return samples.empty() ? 1.0 : done / (all * static_cast<double>(samples.size()));
}

void AnalyzeRun::show_progress() {
  const double fraction = done_share(mine_);
  bar_->update(static_cast<std::uint64_t>(fraction * n_layers()), fraction);
}

void AnalyzeRun::finish_round(const LocalStatus& status, bool last) {
  const double wait_start = clock_seconds();
  context_.comm.agree(status, "compute statistics");
  const double since = clock_seconds() - last_commit_;
  const double interval = options_.interval_seconds >= 0 ? options_.interval_seconds
                          : commit_cost_ > 0             ? commit_cost_ / kMaxCommitShare
                                                         : kFirstCommitSeconds;
  std::array<std::int64_t, 2> wishes = {interrupt_requested() ? 1 : 0, since >= interval ? 1 : 0};
  context_.comm.all_reduce(std::span<std::int64_t>(wishes), comm::ReduceOp::max, "ask for a commit");
  seconds_["exchange"] += clock_seconds() - wait_start;
  show_progress();
  const bool stop = wishes[0] != 0;
  if (last && !stop) return;
  if (job_.enabled() && (stop || wishes[1] != 0)) commit(true);
  if (stop) {
    throw Error(ExitCode::interrupted,
                job_.enabled() ? "interrupted; a checkpoint is committed" : "interrupted; nothing was kept",
                job_.enabled() ? fmt::format("Continue with --resume {}", job_.path().string())
                               : "Run without --no-checkpoints to be able to resume");
  }
}

void AnalyzeRun::commit_finished() {
  if (job_.enabled()) commit(true);
}

std::vector<LayerStatistics> AnalyzeRun::take_totals() {
  commit(false);
  return std::move(totals_);
}

}  // namespace llmq
