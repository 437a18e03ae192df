// Single weights without which a model falls apart: found by the spikes they cause (arXiv 2411.07191), proved
// by leaving them out. docs/super-weights.md. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "llmq/formats/imatrix.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/samples.hpp"
#include "llmq/pipeline/stage_context.hpp"

namespace llmq {

/// What one layer's ffn_down sees and gives, over all tokens looked at; of experts the one that gives most.
struct DownSpike {
  double max_input = 0;   ///< largest |input|, at `column`
  double max_output = 0;  ///< largest |output|, at `row`
  std::uint64_t row = 0;  ///< of the tensor: experts follow each other
  std::uint64_t column = 0;
  double value = 0;      ///< the weight at (row, column)
  double share = 0;      ///< |weight x input| over |output| at the token of the largest output
  std::string tensor{};  ///< GGUF name
};

/// How far a layer's largest input and output stand above the median layer's to be a spike.
inline constexpr double kInputFactor = 3, kOutputFactor = 6;
/// Part of the output that the one weight must make.
inline constexpr double kSpikeShare = 0.5;
/// Mean divergence in nats that leaving the weight out must cause: an ordinary one causes a millionth of
/// that.
inline constexpr double kProvedDivergence = 0.01;

/// The first layer whose ffn_down spikes because of one weight; its index, or the number of layers. Pure.
std::size_t find_spike(std::span<const DownSpike> layers);

/// Collective: the same list on every rank, unproved. Rank 0 looks; the others wait.
std::vector<SuperWeight> find_candidates(const StageContext& context, const ModelSource& source,
                                         const SampleSet& samples);

/// Collective: fills loss_change and kl_divergence, on rank 0; the candidates that are no super weights are
/// dropped there. @throws Error(interrupted | out_of_memory).
std::vector<SuperWeight> prove(const StageContext& context, const ModelSource& source,
                               const SampleSet& samples, const std::vector<SuperWeight>& candidates);

}  // namespace llmq
