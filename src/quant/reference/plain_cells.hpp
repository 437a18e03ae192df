// What the inner loops of the grid types (grid_search.hpp) share in plain C++. These texts are there to be
// read; simd/vector_cells-inl.hpp and its neighbours do the same for several cells in lanes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "quant/grid_search.hpp"

namespace llmq::reference {

/// Best d of a group among trial steps: sums over y = level, d = cross / square.
struct StepFit {
  float d = 0, gain = 0;
  void offer(float cross, float square) noexcept {
    if (!(square > 0) || !(cross > 0)) return;
    const float fitted = cross / square;
    if (!(fitted * cross > gain)) return;
    d = fitted;
    gain = fitted * cross;
  }
};

/// Sums over a block with y = multiple v, in the order of tree_sum.
template <class Shape>
inline BlockSums plain_sums(const GridValues& values, const GridState<Shape>& state, const float* x,
                            const float* weights) noexcept {
  std::array<float, kPartialSums> cross{}, square{};
  for (std::size_t i = 0; i < blocks::kSuper; ++i) {
    const float y = multiple_of(state, i / Shape::kGroup) * values[i];
    const float weighted = weights[i] * y;
    cross[i % kPartialSums] += weighted * x[i];
    square[i % kPartialSums] += weighted * y;
  }
  return {tree_sum(cross), tree_sum(square)};
}

}  // namespace llmq::reference
