// Inner loops of the search of IQ1_S and IQ1_M (grid_search.hpp) in plain C++: one cell after the other.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "quant/reference/plain_cells.hpp"

namespace llmq::reference {

/// IQ1_S, IQ1_M.
template <class Shape>
class TernaryCells {
  static constexpr std::size_t kCell = 8;
  static constexpr std::size_t kUnit = Shape::kShiftCells * kCell;  ///< weights that share a shift

 public:
  static constexpr bool kRounds = false;

  TernaryCells(const float* x, const float* weights) noexcept : x_(x), weights_(weights) {}

  void fit(std::array<float, kGroupsOf<Shape>>& steps) const noexcept {
    fit_groups<Shape>(x_, steps, [&](float top, int k, std::size_t first) {
      const float step = top * (kTernaryFitFirst + kTernaryFitStride * static_cast<float>(k));
      BlockSums group;
      for (std::size_t unit = first; unit < first + Shape::kGroup; unit += kUnit) {
        const BlockSums up = free_sums(unit, step, kIq1Shift), down = free_sums(unit, step, -kIq1Shift);
        const bool is_down = 2 * down.cross - step * down.square > 2 * up.cross - step * up.square;
        group.cross += is_down ? down.cross : up.cross;
        group.square += is_down ? down.square : up.square;
      }
      return group;
    });
  }

  void search(CellResults& results) const noexcept {
    for (std::size_t k = 0; k < kTries; ++k) {
      BestCodes up, down;
      for (std::size_t cell = 0; cell < kCells<Shape>; ++cell) {
        best_code(cell, results.step[k][cell], kIq1Shift, up);
        best_code(cell, results.step[k][cell], -kIq1Shift, down);
      }
      choose_shifts(up, down, k, results);
    }
  }

  std::uint16_t word_of(const CellResults& results, std::size_t k, std::size_t cell) const noexcept {
    return results.word[k][cell];
  }

  float error_of(float gain) const noexcept { return -gain; }

  BlockSums sums(const GridState<Shape>& state) const noexcept {
    return plain_sums<Shape>(values_of(state), state, x_, weights_);
  }

  /// Codes into numbers of codewords.
  void finish(GridChoice& choice) const noexcept {
    const auto index = codebooks::iq1_index_of_code();
    for (std::size_t cell = 0; cell < kCells<Shape>; ++cell) {
      choice.words[cell] = static_cast<std::uint16_t>(index[choice.words[cell]]);
    }
  }

 protected:
  /// Of each cell, for one direction of the shift.
  struct BestCodes {
    float error[kCells<Shape>];
    std::uint16_t code[kCells<Shape>];
  };

  /// Cells that share a shift take the direction in which they err less.
  static void choose_shifts(const BestCodes& up, const BestCodes& down, std::size_t k,
                            CellResults& results) noexcept {
    for (std::size_t unit = 0; unit < kCells<Shape>; unit += Shape::kShiftCells) {
      float error_up = 0, error_down = 0;
      for (std::size_t c = unit; c < unit + Shape::kShiftCells; ++c) {
        error_up += up.error[c];
        error_down += down.error[c];
      }
      const bool is_down = error_down < error_up;
      for (std::size_t c = unit; c < unit + Shape::kShiftCells; ++c) {
        results.gain[k][c] = -(is_down ? down.error[c] : up.error[c]);
        results.word[k][c] = is_down ? down.code[c] : up.code[c];
        results.negative_shift[k][c] = is_down ? 1 : 0;
      }
    }
  }

  /// Shifted levels of the weights.
  GridValues values_of(const GridState<Shape>& state) const noexcept {
    GridValues values;
    for (std::size_t cell = 0; cell < kCells<Shape>; ++cell) {
      const float shift = state.negative_shift[cell] != 0 ? -kIq1Shift : kIq1Shift;
      for (std::size_t e = 0; e < kCell; ++e) {
        const std::uint32_t code = (std::uint32_t{state.word[cell]} >> (2 * e)) & 3u;
        values[cell * kCell + e] = static_cast<float>(codebooks::kTernaryOfCode[code]) + shift;
      }
    }
    return values;
  }

  const float* x_;
  const float* weights_;

 private:
  static float nearest(float value) noexcept { return round_even(std::min(std::max(value, -1.0F), 1.0F)); }

  BlockSums free_sums(std::size_t first, float step, float shift) const noexcept {
    const float inverse = 1 / step;
    BlockSums sums;
    for (std::size_t i = first; i < first + kUnit; ++i) {
      const float value = nearest(x_[i] * inverse - shift) + shift;
      const float weighted = weights_[i] * value;
      sums.square += weighted * value;
      sums.cross += weighted * x_[i];
    }
    return sums;
  }

  /// Every value takes its nearest level; if that is no codeword, the cheapest one or two go to their second
  /// best.
  void best_code(std::size_t cell, float step, float shift, BestCodes& codes) const noexcept {
    const float inverse = 1 / step;
    std::array<float, kCell> cost;
    float error = 0;
    std::uint32_t code = 0;
    for (std::size_t e = 0; e < kCell; ++e) {
      const float x = x_[cell * kCell + e], w = weights_[cell * kCell + e];
      const float value = x * inverse - shift;
      const float level = nearest(value);
      const float rest = x - step * (level + shift);
      const float move = level != 0 ? -level : value > 0 ? 1.0F : -1.0F;
      cost[e] = w * (step * (step - 2 * (move * rest)));
      error += w * (rest * rest);
      code |= (level < 0 ? 0u : level > 0 ? 3u : value > 0 ? 2u : 1u) << (2 * e);
    }
    const auto& members = codebooks::iq1_members();
    float best = std::numeric_limits<float>::infinity();
    std::size_t flip = 0;
    const auto offer = [&](std::size_t j, float price) {
      const auto leads = static_cast<std::uint32_t>(members[codebooks::member_place(code, j)]);
      if ((leads & codebooks::member_bit(j)) != 0 && price < best) best = price, flip = j;
    };
    offer(0, 0);
    for (std::size_t e = 0; e < kCell; ++e) offer(1 + e, cost[e]);
    for (std::size_t pair = 0; pair < codebooks::kTernaryPairs.size(); ++pair) {
      const auto [e, f] = codebooks::kTernaryPairs[pair];
      offer(9 + pair, cost[e] + cost[f]);
    }
    codes.error[cell] = error + best;
    codes.code[cell] =
        static_cast<std::uint16_t>(code ^ static_cast<std::uint32_t>(codebooks::kTernaryFlips[flip]));
  }
};

}  // namespace llmq::reference
