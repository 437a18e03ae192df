// Inner loops of the search of IQ2_* and IQ3_* (grid_search.hpp) in plain C++: one cell after the other.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "quant/half_scores.hpp"
#include "quant/reference/plain_cells.hpp"

namespace llmq::reference {

/// Nearest of a codebook's levels to a magnitude; the upper one of two equally near.
template <class Shape>
inline float nearest_magnitude(float value) noexcept {
  if constexpr (Shape::kLevels.size() == 3) {
    return value >= 34 ? 43.0F : value >= 16.5F ? 25.0F : 8.0F;
  } else if constexpr (Shape::kLevels[7] == 15) {
    return 1 + 2 * round_even(std::min(std::max((value - 1) * 0.5F, 0.0F), 7.0F));
  } else {
    return value >= 57 ? 62.0F : 4 + 8 * round_even(std::min(std::max((value - 4) * 0.125F, 0.0F), 6.0F));
  }
}

/// IQ2_*, IQ3_*.
template <class Shape>
class MagnitudeCells {
  static constexpr std::size_t kCell = Shape::kCell;
  static constexpr std::size_t kHalf = kCell / 2;
  static constexpr bool kEven = Shape::kSigns == SignCode::even;

 public:
  /// Cells of eight choose with their codeword which sign is wrong when the number of negatives is odd; where
  /// eight weights are two cells, it is settled beforehand.
  static constexpr bool kChoosesFlip = kEven && kCell == 8;
  /// Without that choice what a codeword is worth is the sum of what its halves are worth: the search
  /// compares first halves, each with its best second half. Scores are whole multiples of a grain then
  /// (half_scores.hpp).
  static constexpr bool kRounds = !kChoosesFlip;

  /// @param x, weights  one super-block
  MagnitudeCells(const float* x, const float* weights) noexcept : x_(x), weights_(weights) {
    for (std::size_t i = 0; i < blocks::kSuper; ++i) magnitude_[i] = std::fabs(x[i]);
    for (std::size_t k = 0; k < 32; ++k) {
      unsigned negatives = 0;
      for (std::size_t e = 0; e < 8; ++e) negatives |= (x[8 * k + e] < 0 ? 1u : 0u) << e;
      signs_[k] = static_cast<std::uint8_t>(negatives);
      odd_[k] = kEven && std::popcount(negatives) % 2 != 0;
      if (kEven && !kChoosesFlip && odd_[k]) flip_cheapest(k);
    }
  }

  /// |x|, below zero for a weight that got the wrong sign beforehand.
  const float* magnitudes() const noexcept { return magnitude_.data(); }
  /// True if one sign of these eight must be wrong.
  bool is_odd(std::size_t eight) const noexcept { return odd_[eight]; }

  void fit(std::array<float, kGroupsOf<Shape>>& steps) const noexcept {
    fit_groups<Shape>(x_, steps, [&](float top, int k, std::size_t first) {
      const float step = top / Shape::kLevels.back() * (kFitFirst + kFitStride * static_cast<float>(k));
      const float inverse = 1 / step;
      BlockSums sums;
      for (std::size_t i = first; i < first + Shape::kGroup; ++i) {
        const float level = nearest_magnitude<Shape>(std::fabs(x_[i]) * inverse);
        const float weighted = weights_[i] * level;
        sums.square += weighted * level;
        sums.cross += weighted * std::fabs(x_[i]);
      }
      return sums;
    });
  }

  /// Goes through the whole codebook for each cell and step.
  void search(CellResults& results) const noexcept {
    for (std::size_t cell = 0; cell < kCells<Shape>; ++cell) {
      if constexpr (kRounds) {
        search_halves(cell, results);
      } else {
        search_words(cell, results);
      }
    }
  }

  /// The codeword that was found for a cell at its k-th step.
  std::uint16_t word_of(const CellResults& results, std::size_t k, std::size_t cell) const noexcept {
    return results.word[k][cell];
  }

  /// Sum of w (x - y)^2 of a block whose cells gain so much.
  float error_of(float gain) const noexcept {
    std::array<float, kPartialSums> squares{};
    for (std::size_t i = 0; i < blocks::kSuper; ++i) squares[i % kPartialSums] += weights_[i] * x_[i] * x_[i];
    return tree_sum(squares) - gain;
  }

  /// Sums over the block for codewords and multiples of the unit that stand.
  BlockSums sums(const GridState<Shape>& state) const noexcept {
    return plain_sums<Shape>(values_of(state), state, magnitude_.data(), weights_);
  }

  /// Signs for the codewords that were chosen.
  void finish(GridChoice& choice) const noexcept {
    choice.signs = signs_;
    if constexpr (kChoosesFlip) {
      const auto words = Shape::words();
      for (std::size_t cell = 0; cell < kCells<Shape>; ++cell) {
        if (!odd_[cell]) continue;
        const std::size_t flip = cheapest_flip(cell, words[choice.words[cell]]);
        choice.signs[cell] = static_cast<std::uint8_t>(choice.signs[cell] ^ (1u << flip));
      }
    }
  }

 protected:
  /// The codeword of a first half and its best second half. Where kRounds.
  std::uint16_t word_behind(std::size_t first, std::size_t cell, float step) const noexcept {
    const Scores second = half_scores(cell, kHalf, step, grain_of(cell, step));
    return Shape::by_first_half().word(first, best_second(first, second));
  }

  /// Levels of the weights, negative where the sign is wrong.
  GridValues values_of(const GridState<Shape>& state) const noexcept {
    GridValues values;
    const auto words = Shape::words();
    for (std::size_t cell = 0; cell < kCells<Shape>; ++cell) {
      const codebooks::Codeword& levels = words[state.word[cell]];
      std::copy_n(levels.begin(), kCell, values.begin() + cell * kCell);
      if (!kChoosesFlip || !odd_[cell]) continue;
      float& wrong = values[cell * kCell + cheapest_flip(cell, levels)];
      wrong = -wrong;
    }
    return values;
  }

  const float* x_;
  const float* weights_;

 private:
  /// The weight of a cell whose wrong sign costs least.
  std::size_t cheapest_flip(std::size_t cell, const codebooks::Codeword& levels) const noexcept {
    std::size_t flip = 0;
    float cheapest = std::numeric_limits<float>::infinity();
    for (std::size_t e = 0; e < kCell; ++e) {
      const std::size_t i = cell * kCell + e;
      const float product = weights_[i] * magnitude_[i] * static_cast<float>(levels[e]);
      if (product < cheapest) cheapest = product, flip = e;
    }
    return flip;
  }

  /// For every pattern of half a cell: 2 sum w x L, sum w L L, and what the cheapest wrong sign costs.
  struct HalfSums {
    std::array<float, Shape::kHalves> cross, square, flip;
  };

  /// For every pattern of half a cell: what it lowers sum w (x - step L)^2 by, over step, in grains.
  using Scores = std::array<std::int16_t, Shape::kHalves>;

  void search_words(std::size_t cell, CellResults& results) const noexcept {
    const HalfSums first = half_sums(cell, 0), second = half_sums(cell, kHalf);
    const auto halves = Shape::halves();
    std::array<float, kTries> best;
    best.fill(-std::numeric_limits<float>::infinity());
    for (std::size_t word = 0; word < halves.size(); ++word) {
      const auto [a, b] = halves[word];
      const float cross = first.cross[a] + second.cross[b] - std::min(first.flip[a], second.flip[b]);
      const float square = first.square[a] + second.square[b];
      for (std::size_t k = 0; k < kTries; ++k) {
        const float score = cross - results.step[k][cell] * square;
        if (!(score > best[k])) continue;
        best[k] = score;
        results.word[k][cell] = static_cast<std::uint16_t>(word);
      }
    }
    for (std::size_t k = 0; k < kTries; ++k) results.gain[k][cell] = results.step[k][cell] * best[k];
  }

  void search_halves(std::size_t cell, CellResults& results) const noexcept {
    const auto& words = Shape::by_first_half();
    for (std::size_t k = 0; k < kTries; ++k) {
      const float step = results.step[k][cell];
      const ScoreGrain grain = grain_of(cell, step);
      const Scores first = half_scores(cell, 0, step, grain), second = half_scores(cell, kHalf, step, grain);
      int best = std::numeric_limits<int>::min();
      for (const auto& lead : words.leads()) {
        const std::size_t half = best_second(lead.first, second);
        const int score = first[lead.first] + second[half];
        if (score <= best) continue;
        best = score;
        results.word[k][cell] = words.word(lead.first, half);
      }
      results.gain[k][cell] = (step * grain.grain) * static_cast<float>(best);
    }
  }

  ScoreGrain grain_of(std::size_t cell, float step) const noexcept {
    constexpr float kTop = Shape::kLevels.back();
    float cross = 0, square = 0;
    for (std::size_t i = cell * kCell; i < (cell + 1) * kCell; ++i) {
      cross += std::fabs(2 * (weights_[i] * magnitude_[i])) * kTop;
      square += weights_[i] * (kTop * kTop);
    }
    return score_grain(cross + step * square);
  }

  /// Of the second halves that codewords have behind a first half, the best; the first of equals.
  static std::size_t best_second(std::size_t first, const Scores& scores) noexcept {
    const auto& words = Shape::by_first_half();
    std::size_t best = Shape::kHalves;
    for (std::size_t half = 0; half < Shape::kHalves; ++half) {
      if (words.word(first, half) == codebooks::ByFirstHalf::kNoWord) continue;
      if (best == Shape::kHalves || scores[half] > scores[best]) best = half;
    }
    return best;
  }

  Scores half_scores(std::size_t cell, std::size_t from, float step, const ScoreGrain& grain) const noexcept {
    Scores scores;
    for (std::size_t pattern = 0; pattern < Shape::kHalves; ++pattern) {
      int score = 0;
      for_levels(pattern, cell * kCell + from, [&](std::size_t i, float level) {
        if (grain.inverse == 0) return;
        const float cross = 2 * (weights_[i] * magnitude_[i]) * grain.inverse;
        const float square = step * weights_[i] * grain.inverse;
        score += static_cast<int>(round_even(cross * level - square * (level * level)));
      });
      scores[pattern] = static_cast<std::int16_t>(score);
    }
    return scores;
  }

  HalfSums half_sums(std::size_t cell, std::size_t from) const noexcept {
    HalfSums sums;
    for (std::size_t pattern = 0; pattern < Shape::kHalves; ++pattern) {
      float cross = 0, square = 0, flip = std::numeric_limits<float>::infinity();
      for_levels(pattern, cell * kCell + from, [&](std::size_t i, float level) {
        const float product = 2 * (weights_[i] * magnitude_[i]) * level;
        cross += product;
        square += weights_[i] * (level * level);
        flip = std::min(flip, 2 * product);
      });
      sums.cross[pattern] = cross;
      sums.square[pattern] = square;
      sums.flip[pattern] = odd_[cell] ? flip : 0;
    }
    return sums;
  }

  /// each(weight, level) for the levels of a pattern of half a cell, whose weights begin at `first`.
  template <class Each>
  static void for_levels(std::size_t pattern, std::size_t first, const Each& each) noexcept {
    std::size_t place = Shape::kHalves;
    for (std::size_t e = 0; e < kHalf; ++e) {
      place /= Shape::kLevels.size();
      each(first + e, static_cast<float>(Shape::kLevels[pattern / place]));
      pattern %= place;
    }
  }

  /// The weight of eight whose sign counts least gets the wrong one.
  void flip_cheapest(std::size_t k) noexcept {
    std::size_t flip = 8 * k;
    float cheapest = std::numeric_limits<float>::infinity();
    for (std::size_t i = 8 * k; i < 8 * k + 8; ++i) {
      const float cost = weights_[i] * x_[i] * x_[i];
      if (cost < cheapest) cheapest = cost, flip = i;
    }
    magnitude_[flip] = -magnitude_[flip];
    signs_[k] = static_cast<std::uint8_t>(signs_[k] ^ (1u << (flip - 8 * k)));
  }

  std::array<float, blocks::kSuper> magnitude_{};
  std::array<std::uint8_t, 32> signs_{};
  std::array<bool, 32> odd_{};
};

}  // namespace llmq::reference
