#include "pipeline/analyze_run.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/core/thread_clock.hpp"
#include "llmq/pipeline/interrupt.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr double kMaxCommitShare = 0.05;    // of the run's time, unless an interval is given
constexpr double kFirstCommitSeconds = 10;  // before the first commit its cost is unknown
constexpr int kKeptGenerations = 2;

fs::path generation_path(const fs::path& job, std::uint64_t generation) {
  return job / fmt::format("generation-{:06}.h5", generation);
}

/// Generation numbers found in a job directory, newest first.
std::vector<std::uint64_t> find_generations(const fs::path& job) {
  std::vector<std::uint64_t> found;
  for (const auto& entry : fs::directory_iterator(job)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("generation-") && name.ends_with(".h5"))
      found.push_back(std::stoull(name.substr(11)));
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

}  // namespace

const std::array<LayerInput, 4>& layer_inputs() {
  static const std::array<LayerInput, 4> inputs = {{
      {MatmulInput::attention, "attention", {"attn_q.weight", "attn_k.weight", "attn_v.weight"}},
      {MatmulInput::attention_output, "attention_output", {"attn_output.weight"}},
      {MatmulInput::ffn, "ffn", {"ffn_gate.weight", "ffn_up.weight"}},
      {MatmulInput::ffn_down, "ffn_down", {"ffn_down.weight"}},
  }};
  return inputs;
}

std::size_t input_width(const ModelSpec& spec, MatmulInput input) {
  switch (input) {
    case MatmulInput::attention:
    case MatmulInput::ffn:
      return spec.hidden_size;
    case MatmulInput::attention_output:
      return std::size_t{spec.n_heads} * spec.head_dim;
    case MatmulInput::ffn_down:
      return spec.intermediate_size;
  }
  throw InternalError("unknown matmul input");
}

LayerAccumulators make_layer_accumulators(const ModelSpec& spec) {
  LayerAccumulators accumulators;
  for (std::size_t i = 0; i < accumulators.size(); ++i) {
    accumulators[i] = InputAccumulator(input_width(spec, layer_inputs()[i].input));
  }
  return accumulators;
}

AnalyzeRun::AnalyzeRun(const StageContext& context, const ModelSource& source, const SampleSet& samples,
                       const GridPlace& grid, const JobDirectory& job, const CheckpointOptions& options)
    : context_(context),
      source_(source),
      samples_(samples),
      grid_(grid),
      timeline_(context.threads),
      job_(job),
      options_(options),
      row_(context.comm.split(static_cast<int>(grid.sample_group), static_cast<int>(grid.layer_group))),
      pass_(make_forward_pass(source.spec())),
      loader_(make_weight_loader(source)),
      mine_(samples_of_group(grid.sample_group, grid.sample_groups, samples.samples.size())),
      progress_(samples.samples.size(), 0),
      touched_(source.spec().n_layers, 0) {
  deltas_.resize(n_layers());
  if (context_.comm.is_root()) {
    for (std::uint32_t layer = 0; layer < n_layers(); ++layer)
      totals_.push_back(make_layer_accumulators(source.spec()));
  }
}

double AnalyzeRun::clock_seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

std::uint64_t AnalyzeRun::planned_bytes(const ModelSource& source, const ForwardPass& pass,
                                        std::size_t threads, std::uint64_t samples, std::uint64_t ctx,
                                        const GridPlace& grid) {
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
  const std::uint64_t held =
      grid.layer_groups == 1 ? (samples + grid.sample_groups - 1) / grid.sample_groups : 2 * threads;
  const std::uint64_t states = held * ctx * spec.hidden_size * 4;
  std::uint64_t columns = 0;
  for (const LayerInput& input : layer_inputs()) columns += input_width(spec, input.input);
  const std::uint64_t accumulators = columns * 52 * (spec.n_layers * 2 + threads);
  constexpr std::uint64_t kProgramBytes = std::uint64_t{256} << 20;  // libtorch and BLAS
  // Loading a layer holds one tensor twice for a moment: count the largest layer once more.
  return kProgramBytes + weights + largest + states + accumulators + threads * pass.scratch_bytes(ctx);
}

void AnalyzeRun::resume() {
  std::uint64_t chosen = 0;
  context_.comm.together("read the checkpoint", [&] {
    if (!context_.comm.is_root()) return;
    std::string problems;
    for (const std::uint64_t generation : find_generations(job_.path())) {
      try {
        const AnalyzeCheckpoint found =
            read_analyze_checkpoint_meta(generation_path(job_.path(), generation));
        if (found.sample_progress.size() != progress_.size() || found.state_elems != state_elems()) {
          throw Error(ExitCode::checkpoint, "sizes do not fit this run");
        }
        // The states are read by everyone below; a damaged one must show here, while an older generation may
        // serve.
        std::vector<std::uint64_t> with_state;
        for (std::uint64_t i = 0; i < found.sample_progress.size(); ++i) {
          if (found.sample_progress[i] > 0 && found.sample_progress[i] < n_layers()) with_state.push_back(i);
        }
        read_analyze_states(generation_path(job_.path(), generation), with_state,
                            [](std::uint64_t, std::span<const float>) {});
        std::copy(found.sample_progress.begin(), found.sample_progress.end(), progress_.begin());
        for (const AnalyzeCheckpoint::Stat& stat : found.stats) {
          bool placed = false;
          for (std::uint32_t layer = 0; layer < n_layers(); ++layer) {
            for (std::size_t i = 0; i < layer_inputs().size(); ++i) {
              if (stat.name != fmt::format("layer.{}.{}", layer, layer_inputs()[i].key)) continue;
              InputAccumulator& total = totals_[layer][i];
              if (stat.in_features != total.in_features())
                throw Error(ExitCode::checkpoint, "sizes do not fit this run");
              total.sum_sq = stat.sum_sq, total.sum = stat.sum, total.sum_quad = stat.sum_quad;
              total.max_abs = stat.max_abs, total.count = stat.counts.at(0);
              placed = true;
            }
          }
          if (!placed) throw Error(ExitCode::checkpoint, "unknown statistic " + stat.name);
        }
        chosen = generation;
        if (!problems.empty()) context_.log.warn("falling back to an older checkpoint: " + problems);
        return;
      } catch (const Error& error) {
        problems += (problems.empty() ? "" : "; ") + std::string(error.what());
      }
    }
    if (!problems.empty()) {
      throw Error(ExitCode::checkpoint, "no sound checkpoint generation: " + problems,
                  "Start without --resume");
    }
  });
  context_.comm.broadcast(std::span<std::uint64_t>(&chosen, 1), 0, "share the checkpoint");
  context_.comm.broadcast(std::span(progress_), 0, "share the checkpoint");
  if (chosen == 0) {
    context_.log.status("Resuming: nothing was committed yet, starting over");
    return;
  }
  generation_ = chosen;
  resumed_ = true;
  context_.comm.together("read the checkpoint", [&] {
    const LayerRange range = layers_of_group(grid_.layer_group, grid_.layer_groups, n_layers());
    std::vector<std::uint64_t> held;
    for (const std::uint64_t sample : mine_) {
      const std::uint32_t at = progress_[sample];
      if (at > 0 && at < n_layers() && at >= range.begin && at < range.end) held.push_back(sample);
    }
    read_analyze_states(generation_path(job_.path(), chosen), held,
                        [&](std::uint64_t sample, std::span<const float> state) {
                          states_[sample].assign(state.begin(), state.end());
                        });
  });
  std::uint64_t steps = 0;
  for (const std::uint32_t at : progress_) steps += at;
  context_.log.status(
      fmt::format("Resuming from generation {}: {:.0f}% done", chosen,
                  100.0 * static_cast<double>(steps) / static_cast<double>(progress_.size() * n_layers())));
}

void AnalyzeRun::execute() {
  bar_ = std::make_unique<ProgressBar>(context_.log, "Analyzing", n_layers(), "layers");
  last_commit_ = clock_seconds();
  if (grid_.layer_groups == 1) {
    walk_layers();
  } else {
    walk_pipeline();
  }
  bar_->finish();
  const StageSeconds stages = pass_->stage_seconds();
  seconds_["matmul"] = stages.matmul;
  seconds_["attention"] = stages.attention;
  seconds_["elementwise"] = stages.elementwise;
  seconds_["statistics"] = static_cast<double>(statistics_nanoseconds_.load()) * 1e-9;
}

void AnalyzeRun::embed(std::uint64_t sample) {
  const ModelTensor& table = *source_.find("token_embd.weight");
  const std::vector<TokenId>& ids = samples_.samples[sample];
  const std::size_t hidden = source_.spec().hidden_size;
  std::vector<float>& state = states_.at(sample);
  state.resize(state_elems());
  for (std::size_t token = 0; token < ids.size(); ++token) {
    source_.read_rows(table, static_cast<std::uint64_t>(ids[token]), 1, RowOrder::hugging_face,
                      std::span(state).subspan(token * hidden, hidden));
  }
}

void AnalyzeRun::check_state(std::uint64_t sample, std::uint32_t layer) const {
  const std::vector<float>& state = states_.at(sample);
  bool sound = true;  // no early exit: such a loop becomes vector code
  for (const float value : state) sound &= std::fabs(value) <= std::numeric_limits<float>::max();
  if (sound) return;
  const auto bad =
      std::find_if(state.begin(), state.end(), [](float value) { return !std::isfinite(value); });
  throw Error(ExitCode::importance, fmt::format("layer {} gives {} for sample {}", layer, *bad, sample),
              "Check the weights of this layer with: llm-quantize quantize MODEL gguf -q F32 --dry-run");
}

void AnalyzeRun::advance_sample(std::uint64_t sample, std::uint32_t layer, const LayerWeights& weights,
                                LayerAccumulators& into) {
  const TimelineScope computing(timeline_, Activity::compute);
  if (layer == 0) embed(sample);
  try {
    pass_->run_layer(weights, states_.at(sample),
                     [&](MatmulInput input, std::span<const float> x, std::size_t) {
                       const std::int64_t start = thread_cpu_nanoseconds();
                       into[static_cast<std::size_t>(input)].add_sample(x);
                       statistics_nanoseconds_ += thread_cpu_nanoseconds() - start;
                     });
  } catch (const Error& error) {
    if (error.code() != ExitCode::importance) throw;
    throw Error(ExitCode::importance, fmt::format("layer {}, sample {}: {}", layer, sample, error.what()),
                error.suggestion());
  }
  check_state(sample, layer);
}

void AnalyzeRun::show_progress() {
  std::uint64_t steps = 0;
  std::uint64_t all = 0;
  for (const std::uint64_t sample : mine_) {
    steps += progress_[sample];
    all += n_layers();
  }
  const double fraction = all == 0 ? 1.0 : static_cast<double>(steps) / static_cast<double>(all);
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

void AnalyzeRun::reduce_statistics() {
  context_.comm.all_reduce(std::span(touched_), comm::ReduceOp::max, "agree on layers to reduce");
  for (std::uint32_t layer = 0; layer < n_layers(); ++layer) {
    if (touched_[layer] == 0) continue;
    if (deltas_[layer][0].in_features() == 0) deltas_[layer] = make_layer_accumulators(source_.spec());
    for (std::size_t i = 0; i < deltas_[layer].size(); ++i) {
      InputAccumulator& delta = deltas_[layer][i];
      const std::string purpose =
          fmt::format("sum importance of layer {} ({})", layer, layer_inputs()[i].key);
      context_.comm.reduce_to_root(std::span(delta.sum_sq), comm::ReduceOp::sum, purpose);
      context_.comm.reduce_to_root(std::span(delta.sum), comm::ReduceOp::sum, purpose);
      context_.comm.reduce_to_root(std::span(delta.sum_quad), comm::ReduceOp::sum, purpose);
      context_.comm.reduce_to_root(std::span(delta.max_abs), comm::ReduceOp::max, purpose);
      context_.comm.reduce_to_root(std::span<std::uint64_t>(&delta.count, 1), comm::ReduceOp::sum, purpose);
      if (context_.comm.is_root()) totals_[layer][i].add(delta);
    }
    deltas_[layer] = {};
    touched_[layer] = 0;
  }
}

void AnalyzeRun::commit(bool write) {
  const double start = clock_seconds();
  context_.comm.all_reduce(std::span<std::uint64_t>(), comm::ReduceOp::max, "commit");
  std::vector<std::uint64_t> shared(progress_.begin(), progress_.end());
  context_.comm.all_reduce(std::span(shared), comm::ReduceOp::max, "share progress");
  for (std::size_t i = 0; i < shared.size(); ++i) progress_[i] = static_cast<std::uint32_t>(shared[i]);
  context_.comm.together("sum statistics", [&] { reduce_statistics(); });
  if (!write) return;

  AnalyzeCheckpoint checkpoint;
  checkpoint.generation = ++generation_;
  checkpoint.sample_progress = progress_;
  checkpoint.state_elems = state_elems();
  if (context_.comm.is_root()) {
    for (std::uint32_t layer = 0; layer < n_layers(); ++layer) {
      for (std::size_t i = 0; i < layer_inputs().size(); ++i) {
        const InputAccumulator& total = totals_[layer][i];
        if (total.count == 0) continue;
        checkpoint.stats.push_back({fmt::format("layer.{}.{}", layer, layer_inputs()[i].key),
                                    total.in_features(),
                                    total.sum_sq,
                                    total.sum,
                                    total.sum_quad,
                                    total.max_abs,
                                    {total.count}});
      }
    }
  }
  std::vector<std::uint64_t> held;
  for (const auto& [sample, state] : states_) {
    if (progress_[sample] > 0 && progress_[sample] < n_layers()) held.push_back(sample);
  }
  std::string no_room;
  context_.comm.together("write the checkpoint", [&] {
    const TimelineScope writing(timeline_, Activity::write);
    no_room = write_analyze_checkpoint(
        generation_path(job_.path(), generation_), context_.comm.native(), checkpoint, held,
        [&](std::uint64_t sample) { return std::span<const float>(states_.at(sample)); });
    if (context_.comm.is_root() && no_room.empty() && generation_ > kKeptGenerations) {
      std::error_code ignored;
      fs::remove(generation_path(job_.path(), generation_ - kKeptGenerations), ignored);
    }
  });
  last_commit_ = clock_seconds();
  commit_cost_ = last_commit_ - start;
  seconds_["checkpoint"] += commit_cost_;
  if (!no_room.empty()) {
    --generation_;
    report_no_room(no_room);
    return;
  }
  context_.log.detail(
      fmt::format("Committed checkpoint generation {} in {:.2f} s", generation_, commit_cost_));
}

/// The work is worth more than its checkpoint: the run goes on without, unless it was asked to stop.
void AnalyzeRun::report_no_room(const std::string& reason) {
  const std::string kept =
      generation_ == 0 ? "none is kept" : fmt::format("generation {} is kept", generation_);
  if (interrupt_requested()) {
    throw Error(ExitCode::general, fmt::format("interrupted without a checkpoint ({}): {}", kept, reason),
                "Free disk space, then continue with --resume or start again");
  }
  context_.log.warn(fmt::format("a checkpoint could not be written ({}): {}", kept, reason));
}

std::vector<LayerAccumulators> AnalyzeRun::take_totals() {
  commit(false);
  return std::move(totals_);
}

}  // namespace llmq
