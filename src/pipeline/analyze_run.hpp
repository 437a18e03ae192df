// The state of an analyze run on one rank, and the two ways to walk the model.
//
// progress[i] says how many layers sample i has passed; its boundary state is kept while 0 < progress <
// layers. A checkpoint holds exactly that, by sample, plus the summed statistics: it knows nothing of ranks
// or grids, so any number of ranks in any grid may take it up. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "llmq/formats/checkpoint_store.hpp"
#include "llmq/importance/accumulator.hpp"
#include "llmq/model/forward.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/analyze.hpp"
#include "llmq/pipeline/samples.hpp"

#include "pipeline/analyze_grid.hpp"
#include "pipeline/job_directory.hpp"

namespace llmq {

/// The matmul inputs of a layer, in the order of MatmulInput, and the weights that read each.
struct LayerInput {
  MatmulInput input;
  std::string_view key;                   ///< name in checkpoints
  std::vector<std::string_view> weights;  ///< GGUF names below blk.N.
};
const std::array<LayerInput, 4>& layer_inputs();
/// in_features of an input.
std::size_t input_width(const ModelSpec& spec, MatmulInput input);

/// Accumulators of one layer, one per input.
using LayerAccumulators = std::array<InputAccumulator, 4>;
LayerAccumulators make_layer_accumulators(const ModelSpec& spec);

class AnalyzeRun {
 public:
  AnalyzeRun(const StageContext& context, const ModelSource& source, const SampleSet& samples,
             const GridPlace& grid, const JobDirectory& job, const CheckpointOptions& options);

  /// Collective: takes up the newest sound generation of an earlier start.
  void resume();
  /// Collective: all layers over all samples. @throws Error(interrupted | importance | ...).
  void execute();
  /// Collective: the finished statistics, on rank 0 (empty elsewhere).
  std::vector<LayerAccumulators> take_totals();

  /// True if resume() found a committed generation.
  bool resumed() const noexcept { return resumed_; }
  /// Seconds this rank spent in load, compute, exchange, checkpoint. CPU seconds of compute, summed over
  /// threads, in matmul, attention, elementwise, statistics.
  const std::map<std::string, double>& seconds() const noexcept { return seconds_; }

  /// Collective: what each rank's threads did since the run was made, on rank 0.
  std::vector<RankTimeline> timelines() const { return timeline_.gather(context_.comm); }

  /// Bytes a rank needs with this grid. Pure; used to choose the grid.
  static std::uint64_t planned_bytes(const ModelSource& source, const ForwardPass& pass, std::size_t threads,
                                     std::uint64_t samples, std::uint64_t ctx, const GridPlace& grid);

 private:
  std::uint32_t n_layers() const noexcept { return source_.spec().n_layers; }
  std::size_t state_elems() const noexcept { return samples_.ctx * source_.spec().hidden_size; }
  double clock_seconds() const;

  void walk_layers();    ///< L = 1: layer by layer over all own samples
  void walk_pipeline();  ///< L > 1: own layers resident, micro-batches from group to group
  bool receive_batch(const std::vector<std::uint64_t>& batch, LayerRange mine, bool failed);
  void send_batch(const std::vector<std::uint64_t>& batch, bool failed);
  /// Runs layers [first, last) over the sample on this thread; statistics go to `into[layer - base]`.
  void advance_sample(std::uint64_t sample, std::uint32_t layer, const LayerWeights& weights,
                      LayerAccumulators& into);
  void embed(std::uint64_t sample);
  /// Collective, after a round: makes failures common, commits when due, stops when asked. `done`: nothing is
  /// left.
  void finish_round(const LocalStatus& status, bool last);
  void commit(bool write);
  void report_no_room(const std::string& reason);
  void reduce_statistics();
  void show_progress();
  void check_state(std::uint64_t sample, std::uint32_t layer) const;

  const StageContext& context_;
  const ModelSource& source_;
  const SampleSet& samples_;
  GridPlace grid_;
  Timeline timeline_;
  const JobDirectory& job_;
  CheckpointOptions options_;
  Communicator row_;  ///< the ranks of this sample group, by layer group
  std::unique_ptr<ForwardPass> pass_;
  WeightLoader loader_;
  std::vector<std::uint64_t> mine_;                     ///< samples of this sample group
  std::vector<std::uint32_t> progress_;                 ///< of all samples; own ones are current
  std::map<std::uint64_t, std::vector<float>> states_;  ///< boundary states held by this rank
  std::vector<LayerAccumulators> deltas_;               ///< per layer, since the last reduction
  std::vector<std::uint64_t> touched_;                  ///< layers with deltas
  std::vector<LayerAccumulators> totals_;               ///< rank 0
  std::uint64_t generation_ = 0;
  bool resumed_ = false;
  double last_commit_ = 0;
  double commit_cost_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::unique_ptr<ProgressBar> bar_;
  std::map<std::string, double> seconds_;
  std::atomic<std::int64_t> statistics_nanoseconds_{0};  ///< CPU time of all threads
};

}  // namespace llmq
