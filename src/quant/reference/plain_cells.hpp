// What the inner loops of the grid types (grid_search.hpp) share in plain C++. These texts are there to be
// read; simd/vector_cells-inl.hpp and its neighbours do the same for several cells in lanes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include "quant/grid_search.hpp"

namespace llmq::reference {

/// Best d of a group among trial steps: sums over y = level, d = cross / square.
struct StepFit {
  float d = 0, gain = 0;
  void offer(const BlockSums& sums) noexcept {
    if (!(sums.square > 0) || !(sums.cross > 0)) return;
    const float fitted = sums.cross / sums.square;
    if (!(fitted * sums.cross > gain)) return;
    d = fitted;
    gain = fitted * sums.cross;
  }
};

/// Step of each group that fits it best with freely chosen levels.
/// @param sums_at  (largest magnitude, k, first weight) to the sums of the group at the k-th trial step
template <class Shape, class SumsAt>
inline void fit_groups(const float* x, std::array<float, kGroupsOf<Shape>>& steps,
                       const SumsAt& sums_at) noexcept {
  for (std::size_t g = 0; g < steps.size(); ++g) {
    const std::size_t first = g * Shape::kGroup;
    float top = 0;
    for (std::size_t i = first; i < first + Shape::kGroup; ++i) top = std::max(top, std::fabs(x[i]));
    StepFit best;
    for (int k = 0; k < kFits && top >= kZeroGroup; ++k) best.offer(sums_at(top, k, first));
    steps[g] = best.d;
  }
}

/// Sums over a block with y = multiple v, in the order of tree_sum.
template <class Shape>
inline BlockSums plain_sums(const GridValues& values, const GridState<Shape>& state, const float* x,
                            const float* weights) noexcept {
  std::array<float, kPartialSums> cross{}, square{};
  for (std::size_t i = 0; i < blocks::kSuper; ++i) {
    const float y = multiple_of<Shape>(state.scale[i / Shape::kGroup]) * values[i];
    const float weighted = weights[i] * y;
    cross[i % kPartialSums] += weighted * x[i];
    square[i % kPartialSums] += weighted * y;
  }
  return {tree_sum(cross), tree_sum(square)};
}

}  // namespace llmq::reference
