// One original and any number of candidates on their way through the layers over the same samples.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "llmq/model/source.hpp"
#include "llmq/pipeline/samples.hpp"
#include "llmq/pipeline/stage_context.hpp"
#include "llmq/quality/departures.hpp"
#include "llmq/quality/score_summary.hpp"

#include "pipeline/layer_statistics.hpp"

namespace llmq {

/// What decides how much of an evaluation a rank holds at once, in bytes.
struct WaveDemand {
  std::uint64_t program = 0;  ///< program and libraries
  std::uint64_t layer = 0;    ///< weights of the largest layer of one model
  std::uint64_t head = 0;     ///< output matrix of one model
  std::uint64_t thread = 0;   ///< scratch and logits of one thread
  std::uint64_t state = 0;    ///< hidden state of one sample of one model
  std::uint64_t threads = 1;
  std::uint64_t own_heads = std::numeric_limits<std::uint64_t>::max();  ///< candidates with another head
};

/// Where the weights of a candidate are not those of the original.
struct ModelDifference {
  bool embedding = false;
  std::set<std::uint32_t> layers;
  bool head = false;
};

/// A model to judge. Where it does not differ it is not run: it has the original's states up to its first
/// other layer, and the original's weights behind it.
struct Candidate {
  const ModelSource* model = nullptr;
  std::optional<ModelDifference> difference;  ///< none: everywhere
  std::string name = "the candidate";         ///< for errors: its file, or what was changed

  bool differs_in_embedding() const { return !difference || difference->embedding; }
  bool differs_in_layer(std::uint32_t layer) const {
    return !difference || difference->layers.contains(layer);
  }
  bool differs_in_head() const { return !difference || difference->head; }
};

/// Candidates that go through the model together, and the samples that do so at once.
struct WavePlan {
  std::size_t candidates = 0;  ///< 0: not even one fits
  std::size_t samples = 0;
};

/// Memory of `candidates` candidates beside the original with one sample a thread.
std::uint64_t wave_bytes(const WaveDemand& demand, std::size_t candidates) noexcept;
/// As many of `candidates` as fit into `limit_bytes` with one sample a thread, then as many samples as fit.
WavePlan plan_waves(const WaveDemand& demand, std::size_t candidates, std::uint64_t limit_bytes) noexcept;

/// What is known of a candidate after all samples.
struct CandidateScores {
  ScoreSummary summary;
  WorstSentences worst;  ///< empty without EvaluationExtras::sentence_ends
};

/// CPU time of all threads and ranks: reading, decoding and computing.
struct PassCost {
  std::int64_t original_nanoseconds = 0;
  std::int64_t candidate_nanoseconds = 0;  ///< of all candidates together
};

struct EvaluationScores {
  std::vector<CandidateScores> candidates;
  PassCost cost;
};

class EvaluationBase;

struct EvaluationExtras {
  std::function<void(double)> progress;  ///< told this rank's share of work done; none: a bar of its own
  std::span<const std::uint8_t>
      sentence_ends;  ///< by token id: 1 ends a sentence; empty: no sentences wanted
  std::vector<LayerStatistics>* statistics = nullptr;  ///< becomes those of the original's inputs, on rank 0
  /// Where the original's final states are read, or written while it runs. Candidates then differ everywhere,
  /// and there are no statistics of a complete one: its layers are not run.
  EvaluationBase* base = nullptr;
};

/// Collective. Scores of all positions, by candidate; filled on rank 0 only. The original runs once for all
/// candidates that fit into memory together; ranks, threads and memory never change a figure.
/// @throws Error(out_of_memory) when not even one candidate fits, Error(importance) that names the model
/// whose states or logits are not finite, Error(interrupted).
EvaluationScores evaluate_candidates(const StageContext& context, const SampleSet& samples,
                                     const ModelSource& original, std::span<const Candidate> candidates,
                                     const EvaluationExtras& extras = {});

}  // namespace llmq
