// The original and some candidates through all layers over a wave of samples, then the scores of every
// position. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "pipeline/evaluation_base.hpp"
#include "pipeline/layer_statistics.hpp"
#include "pipeline/quality_evaluate.hpp"
#include "pipeline/thread_statistics.hpp"

namespace llmq {

/// Positions of one product with the output matrix: bounds the logits held at once.
inline constexpr std::size_t kHeadRows = 64;

/// One model on its way through the layers over a wave of samples.
struct Walker {
  const ModelSource& source;
  std::string name;
  std::unique_ptr<ForwardPass> pass;
  WeightLoader loader;
  CodeLoader codes;                                    ///< null unless the model has 8-bit weights
  std::map<std::uint64_t, std::vector<float>> states;  ///< by sample; empty: still those of the original
  std::atomic<std::int64_t> nanoseconds = 0;           ///< CPU time of loading and computing

  Walker(const ModelSource& model, std::string called);
};

class WaveEvaluator {
 public:
  /// @param statistics  by layer, of the original's matmul inputs; null: not gathered
  /// @param base  gives the original's final states of samples it holds, is given those of others; null: none
  WaveEvaluator(const StageContext& context, const SampleSet& samples, const ModelSource& original,
                std::span<const Candidate> candidates, std::span<const std::uint8_t> sentence_ends,
                std::vector<LayerStatistics>* statistics, EvaluationBase* base);

  /// Adds the scores of a wave to what was gathered.
  void run(const std::vector<std::uint64_t>& wave, const std::function<void(double)>& progress);

  /// What was gathered so far, by candidate.
  std::vector<CandidateScores>& scores() noexcept { return gathered_; }
  PassCost cost() const;

 private:
  void embed(Walker& walker, const std::vector<std::uint64_t>& wave) const;
  void advance(Walker& walker, std::uint32_t layer, const LayerWeights& weights,
               const std::vector<std::uint64_t>& wave, bool watched);
  void run_layer(std::uint32_t layer, const std::vector<std::uint64_t>& wave);
  void score(const std::vector<std::uint64_t>& wave);
  std::span<const float> original_states(std::uint64_t sample, std::vector<float>& stored);
  std::vector<std::vector<PositionScore>> score_sample(
      std::uint64_t sample, const LayerWeights& head,
      std::span<const std::unique_ptr<LayerWeights>> own_heads);

  const StageContext& context_;
  const SampleSet& samples_;
  Walker original_;
  std::span<const Candidate> candidates_;
  std::vector<std::unique_ptr<Walker>> walkers_;  ///< of the candidates
  std::span<const std::uint8_t> sentence_ends_;
  std::vector<LayerStatistics>* statistics_;
  EvaluationBase* base_;
  bool original_runs_ = true;  ///< in this wave; false: its states are in the base
  ThreadStatistics thread_statistics_;
  std::mutex mutex_;
  std::vector<CandidateScores> gathered_;
};

}  // namespace llmq
