// The search for unit, scales and codewords of the grid types, apart from its inner loops, which come as a
// class `Cells` (reference/plain_cells.hpp, simd/vector_cells-inl.hpp). docs/formats/blocks.md, "How numbers
// are chosen". SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "quant/grid_choice.hpp"
#include "quant/group_search.hpp"

namespace llmq {

inline constexpr std::size_t kTries = 3;  ///< scales that are tried side by side

/// Best codeword of each cell at each of the steps tried; what shift it goes with.
struct alignas(64) CellResults {
  std::array<std::array<float, kMaxCells>, kTries> step{};  ///< in: unit (2 s + 1) factor of the cell's group
  std::array<std::array<float, kMaxCells>, kTries>
      gain{};  ///< out: what sum w (x - y)^2 falls below a constant by
  /// out: the codeword, or what Cells::word_of makes it of
  std::array<std::array<std::uint16_t, kMaxCells>, kTries> word{};
  std::array<std::array<std::uint8_t, kMaxCells>, kTries> negative_shift{};
};

/// Sums of w x y and w y y.
struct BlockSums {
  float cross = 0, square = 0;
};

/// v of each weight of a super-block: y = unit (2 s + 1) factor v.
using GridValues = std::array<float, blocks::kSuper>;

/// State of one block during the sweeps.
template <class Shape>
struct GridState {
  float unit = 0;
  float gain = -std::numeric_limits<float>::infinity();
  std::array<float, kGroupsOf<Shape>> scale{};
  std::array<std::uint16_t, kCells<Shape>> word{};
  std::array<std::uint8_t, kCells<Shape>> negative_shift{};
};

/// Step of a scale over the unit.
template <class Shape>
inline float multiple_of(float scale) noexcept {
  return Shape::kFactor * (2 * scale + 1);
}
template <class Shape>
inline float step_of(const GridState<Shape>& state, std::size_t group) noexcept {
  return state.unit * multiple_of<Shape>(state.scale[group]);
}

/// The k-th scale that a group tries: its own, then those beside it.
template <class Shape>
inline float tried_scale(float scale, std::size_t k) noexcept {
  return std::clamp(scale + kNeighbours[k], 0.0F, static_cast<float>(Shape::kScaleTop));
}

/// Steps of the scales every group tries.
template <class Shape>
inline void set_steps(const GridState<Shape>& state, CellResults& results) noexcept {
  constexpr std::size_t per_group = Shape::kGroup / Shape::kCell;
  for (std::size_t k = 0; k < kTries; ++k) {
    for (std::size_t g = 0; g < kGroupsOf<Shape>; ++g) {
      const float step = state.unit * multiple_of<Shape>(tried_scale<Shape>(state.scale[g], k));
      std::fill_n(results.step[k].begin() + g * per_group, per_group, step);
    }
  }
}

/// Every group takes the best of its tries; the block's gain is the sum.
template <class Shape, class Cells>
inline void take_best(const Cells& cells, const CellResults& results, GridState<Shape>& state) noexcept {
  constexpr std::size_t per_group = Shape::kGroup / Shape::kCell;
  state.gain = 0;
  for (std::size_t g = 0; g < kGroupsOf<Shape>; ++g) {
    const std::size_t first = g * per_group;
    std::size_t best = 0;
    float best_gain = 0;
    for (std::size_t k = 0; k < kTries; ++k) {
      float gain = 0;
      for (std::size_t c = first; c < first + per_group; ++c) gain += results.gain[k][c];
      const bool better = k == 0 || gain > best_gain;
      best = better ? k : best;
      best_gain = better ? gain : best_gain;
    }
    state.scale[g] = tried_scale<Shape>(state.scale[g], best);
    state.gain += best_gain;
    for (std::size_t c = first; c < first + per_group; ++c) state.word[c] = cells.word_of(results, best, c);
    if constexpr (kIsTernaryGrid<Shape>)
      std::copy_n(results.negative_shift[best].begin() + first, per_group,
                  state.negative_shift.begin() + first);
  }
}

/// Least-squares unit for the codewords that stand, as half.
template <class Shape>
inline void refit_unit(const BlockSums& sums, GridState<Shape>& state) noexcept {
  if (!(sums.square > 0)) return;
  const float half = half_of(sums.cross / sums.square);
  if (half > 0) state.unit = half;
}

/// The unit that undoes a part of the shrinking of least squares: docs/formats/blocks.md, "Shrinking".
template <class Shape, class Cells>
inline float unshrunk_unit(const Cells& cells, const GridState<Shape>& state,
                           const BlockSums& sums) noexcept {
  return unshrunk(state.unit, Shape::kUnshrink, cells.error_of(state.gain), state.unit * sums.cross);
}

template <class Shape, class Cells>
inline void choose_grid(Cells& cells, GridChoice& choice) noexcept {
  std::array<float, kGroupsOf<Shape>> fits{};
  cells.fit(fits);
  GridState<Shape> state;
  const float top = *std::max_element(fits.begin(), fits.end());
  state.unit = half_of(top / (Shape::kFactor * (2 * Shape::kScaleTop + 1)));
  choice = {};
  if (!(state.unit > 0)) return;  // nothing but zeros, or too small for half precision
  const float inverse = 1 / (state.unit * Shape::kFactor);
  for (std::size_t g = 0; g < fits.size(); ++g) {
    state.scale[g] = nearest_multiple(0.5F * (fits[g] * inverse - 1), 1, 0, Shape::kScaleTop);
  }
  GridState<Shape> best = state;
  BlockSums best_sums;
  CellResults results;
  for (int sweep = 1; sweep <= Shape::kSweeps; ++sweep) {
    const float unit = state.unit;
    const auto scales = state.scale;
    set_steps(state, results);
    cells.search(results);
    take_best(cells, results, state);
    const BlockSums sums = cells.sums(state);
    if constexpr (Cells::kRounds) state.gain = state.unit * (2 * sums.cross - state.unit * sums.square);
    if (sweep == 1 || state.gain > best.gain) best = state, best_sums = sums;
    refit_unit<Shape>(sums, state);
    if (state.unit == unit && state.scale == scales) break;  // another sweep would try the same
  }
  choice.d = f32_to_f16(unshrunk_unit<Shape>(cells, best, best_sums));
  for (std::size_t g = 0; g < fits.size(); ++g) choice.scales[g] = static_cast<int>(best.scale[g]);
  std::copy(best.word.begin(), best.word.end(), choice.words.begin());
  for (std::size_t c = 0; c < std::min<std::size_t>(32, kCells<Shape>); ++c) {
    choice.negative_shift[c] = best.negative_shift[c];
  }
  cells.finish(choice);
}

}  // namespace llmq
