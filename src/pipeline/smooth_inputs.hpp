// Inputs of the products of a layer, at some tokens of each sample of this rank.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "llmq/model/source.hpp"
#include "llmq/pipeline/samples.hpp"
#include "llmq/pipeline/stage_context.hpp"

#include "pipeline/layer_statistics.hpp"

namespace llmq {

/// By input of the layer, then by sample of this rank: [tokens taken, in_features].
using TakenInputs = std::array<std::vector<std::vector<float>>, kLayerInputs>;

/// This rank's samples on their way through the layers. Local; samples are dealt round robin over the ranks.
class SampleWalk {
 public:
  /// @param tokens  to take of all samples of all ranks together, evenly spread, at least one a sample
  SampleWalk(const StageContext& context, const ModelSource& source, const ForwardPass& pass,
             const SampleSet& samples, std::size_t tokens);
  /// Takes the samples through their next layer. @throws Error(interrupted)
  TakenInputs advance(const LayerWeights& layer);
  bool empty() const noexcept { return states_.empty(); }

 private:
  const StageContext& context_;
  const ForwardPass& pass_;
  std::size_t tokens_;  ///< of a sample
  std::vector<std::vector<float>> states_;
};

}  // namespace llmq
