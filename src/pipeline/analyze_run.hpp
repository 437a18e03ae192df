// The state of an analyze run on one rank, and the ways to walk the model.
//
// progress[i] says how many steps sample i has passed: its layers forward; with a method that needs gradients
// then the head and its layers backward. A checkpoint holds exactly that and the boundary states in between,
// by sample, plus the summed statistics: it knows nothing of ranks or grids, so any number of ranks in any
// grid may take it up. SPDX-License-Identifier: Apache-2.0
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
#include "pipeline/layer_statistics.hpp"

namespace llmq {

class ThreadStatistics;

class AnalyzeRun {
 public:
  AnalyzeRun(const StageContext& context, const ModelSource& source, const SampleSet& samples,
             const GridPlace& grid, const JobDirectory& job, const AnalyzeOptions& options);

  /// Collective: takes up the newest sound generation of an earlier start.
  void resume();
  /// Collective: all layers over all samples. @throws Error(interrupted | importance | ...).
  void execute();
  /// Collective: keeps the finished statistics for as long as what comes after them may be interrupted.
  void commit_finished();
  /// Collective: the finished statistics, on rank 0 (empty elsewhere).
  std::vector<LayerStatistics> take_totals();

  /// True if resume() found a committed generation.
  bool resumed() const noexcept { return resumed_; }
  /// Seconds this rank spent in load, compute, exchange, checkpoint. CPU seconds of compute, summed over
  /// threads, in matmul, attention, elementwise, statistics.
  const std::map<std::string, double>& seconds() const noexcept { return seconds_; }

  /// Collective: what each rank's threads did since the run was made, on rank 0.
  std::vector<RankTimeline> timelines() const { return timeline_.gather(context_.comm); }

  /// Bytes a rank needs with this grid. Pure; used to choose the grid.
  static std::uint64_t planned_bytes(const ModelSource& source, const ForwardPass& pass,
                                     ImportanceMethod method, std::size_t threads, std::uint64_t samples,
                                     std::uint64_t ctx, const GridPlace& grid);

 private:
  std::uint32_t n_layers() const noexcept { return source_.spec().n_layers; }
  bool with_gradient() const noexcept { return row_of(method_).needs_gradient; }
  /// Steps of a sample: L, or 2 L + 1 with the head and the way back.
  std::uint32_t n_steps() const noexcept { return with_gradient() ? 2 * n_layers() + 1 : n_layers(); }
  /// Step of the head, and that of a layer on the way back.
  std::uint32_t head_step() const noexcept { return n_layers(); }
  std::uint32_t backward_step(std::uint32_t layer) const noexcept { return 2 * n_layers() - layer; }
  std::size_t state_elems() const noexcept { return samples_.ctx * source_.spec().hidden_size; }
  double clock_seconds() const;

  // Boundary b, 1..L, is the state before layer b; that after the last layer turns into the gradient.
  std::uint64_t key(std::uint64_t sample, std::uint32_t boundary) const noexcept {
    return with_gradient() ? sample * n_layers() + boundary - 1 : sample;
  }
  std::vector<float>& state(std::uint64_t sample, std::uint32_t boundary) {
    return states_.at(key(sample, boundary));
  }
  /// Boundaries a sample of this progress needs further on.
  std::vector<std::uint32_t> needed_boundaries(std::uint32_t progress) const;
  /// Keys among those of `sample` that belong to a rank with these layers.
  std::vector<std::uint64_t> needed_keys(std::uint64_t sample, LayerRange mine) const;

  void walk_layers();          ///< L = 1: layer by layer over all own samples
  void walk_pipeline();        ///< L > 1: own layers resident, micro-batches from group to group
  void walk_waves();           ///< with gradients, L = 1: some samples forward and back, layer by layer
  void walk_waves_pipeline();  ///< with gradients, L > 1
  using Batch = std::vector<std::uint64_t>;
  static constexpr int kStatusTag = 1, kStateTag = 2, kGradientStatusTag = 3, kGradientTag = 4;
  bool receive_batch(const Batch& batch, LayerRange mine, bool failed);
  void send_batch(const Batch& batch, bool failed);
  struct ResidentLayers {
    LayerRange range;
    const std::vector<std::unique_ptr<LayerWeights>>& weights;
    std::vector<ThreadStatistics>& statistics;
  };
  std::vector<Batch> plan_waves() const;  ///< collective: as many on every rank, some may be empty
  /// Collective: those of the wave whose next step this is.
  void step_wave(const Batch& wave, std::uint32_t step, bool last, ThreadStatistics& threads);
  LocalStatus pass_wave(const Batch& wave, const ResidentLayers& layers);
  void wave_forward(const Batch& batch, const ResidentLayers& layers);
  void wave_back(const Batch& batch, const ResidentLayers& layers);
  /// Layers a sample has still to pass on its way back, once the head is behind it.
  std::uint32_t layers_back(std::uint64_t sample) const noexcept;
  bool receive_gradients(const Batch& batch, LayerRange mine, bool failed);
  void send_gradients(const Batch& batch, LayerRange mine, bool failed);
  /// Own samples that are not done, those under way first.
  Batch unfinished() const;

  /// Runs one layer over a sample on this thread; statistics go to `into`.
  void advance_sample(std::uint64_t sample, std::uint32_t layer, const LayerWeights& weights,
                      LayerStatistics& into);
  /// The same from state to next state, with states of the run's own keys.
  void advance_boundary(std::uint64_t sample, std::uint32_t layer, const LayerWeights& weights,
                        LayerStatistics& into);
  void go_back(std::uint64_t sample, std::uint32_t layer, const LayerWeights& weights, LayerStatistics& into);
  /// Loss and its gradient of some samples, the vocabulary in parts. Local.
  void run_head(const Batch& batch);
  std::unique_ptr<LayerWeights> load(std::uint32_t layer, bool wanted);       ///< collective
  void ask_for(std::uint32_t layer) const;                                    ///< of the page cache
  std::vector<std::unique_ptr<LayerWeights>> load_resident(LayerRange mine);  ///< collective
  void run_forward(std::uint64_t sample, std::uint32_t layer, const LayerWeights& weights,
                   std::span<float> hidden, LayerStatistics& into);
  /// Collective, after a round: makes failures common, commits when due, stops when asked. `done`: nothing is
  /// left.
  void finish_round(const LocalStatus& status, bool last);
  AnalyzeCheckpoint choose_generation(std::uint64_t& chosen);
  void commit(bool write);
  void report_no_room(const std::string& reason);
  void reduce_statistics();
  double done_share(const std::vector<std::uint64_t>& samples) const;
  void show_progress();
  void check_state(std::uint64_t sample, std::span<const float> state, std::string_view what) const;

  const StageContext& context_;
  const ModelSource& source_;
  const SampleSet& samples_;
  GridPlace grid_;
  Timeline timeline_;
  const JobDirectory& job_;
  CheckpointOptions options_;
  ImportanceMethod method_;
  ExpertTokens watched_;
  Communicator row_;  ///< the ranks of this sample group, by layer group
  std::unique_ptr<ForwardPass> pass_;
  WeightLoader loader_;
  std::vector<std::uint64_t> mine_;                     ///< samples of this sample group
  std::vector<std::uint32_t> progress_;                 ///< of all samples; own ones are current
  std::map<std::uint64_t, std::vector<float>> states_;  ///< boundary states held by this rank, by key
  std::vector<LayerStatistics> deltas_;                 ///< per layer, since the last reduction
  std::vector<std::uint64_t> touched_;                  ///< layers with deltas
  std::vector<LayerStatistics> totals_;                 ///< rank 0
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
