#include "pipeline/smooth_inputs.hpp"

#include <algorithm>
#include <span>

#include "llmq/core/parallel.hpp"
#include "llmq/pipeline/interrupt.hpp"

#include "pipeline/analyze_grid.hpp"

namespace llmq {
namespace {

std::vector<float> spread_tokens(std::span<const float> x, std::size_t width, std::size_t wanted) {
  const std::size_t tokens = x.size() / width, taken = std::min(wanted, tokens);
  std::vector<float> rows;
  rows.reserve(taken * width);
  for (std::size_t i = 0; i < taken; ++i) {
    const auto row = x.subspan(i * tokens / taken * width, width);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
}

}  // namespace

SampleWalk::SampleWalk(const StageContext& context, const ModelSource& source, const ForwardPass& pass,
                       const SampleSet& samples, std::size_t tokens)
    : context_(context),
      pass_(pass),
      tokens_((tokens + samples.samples.size() - 1) / samples.samples.size()) {
  const std::vector<std::uint64_t> mine =
      samples_of_group(static_cast<std::uint32_t>(context.comm.rank()),
                       static_cast<std::uint32_t>(context.comm.size()), samples.samples.size());
  states_.resize(mine.size());
  for (std::size_t i = 0; i < mine.size(); ++i) embed_tokens(source, samples.samples[mine[i]], states_[i]);
}

TakenInputs SampleWalk::advance(const LayerWeights& layer) {
  TakenInputs inputs;
  for (auto& of_samples : inputs) of_samples.resize(states_.size());
  parallel_for(states_.size(), context_.threads, [&](std::size_t i, std::size_t) {
    stop_if_asked();
    pass_.run_layer(layer, states_[i], [&](const MatmulRows& rows) {
      const auto which = static_cast<std::size_t>(rows.input);
      if (which < inputs.size()) inputs[which][i] = spread_tokens(rows.x, rows.in_features, tokens_);
    });
  });
  return inputs;
}

}  // namespace llmq
