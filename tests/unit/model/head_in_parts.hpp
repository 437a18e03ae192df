// The head of a model over its vocabulary, a few rows at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "llmq/model/forward.hpp"

namespace llmq::testing_support {

/// Mean next-token loss of the state after the last layer, which becomes its gradient.
inline double loss_and_gradient(const ModelSpec& spec, const ForwardPass& pass, const RowLoader& rows,
                                std::span<const std::int32_t> ids, std::span<float> hidden) {
  constexpr std::size_t kRows = 17;  // divides no vocabulary
  HeadProgress progress;
  const auto over_parts = [&](const auto& step) {
    for (std::size_t first = 0; first < spec.vocab_size; first += kRows)
      step(*pass.load_head_part(first, std::min<std::size_t>(kRows, spec.vocab_size - first), rows));
  };
  over_parts([&](const LayerWeights& part) { pass.head_forward(part, ids, hidden, progress); });
  over_parts([&](const LayerWeights& part) { pass.head_backward(part, ids, hidden, progress); });
  return pass.finish_head(*pass.load_head_part(0, 1, rows), hidden, progress);
}

}  // namespace llmq::testing_support
