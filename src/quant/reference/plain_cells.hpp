// Inner loops of the search of the grid types (grid_search.hpp) in plain C++: one cell after the other. This
// is the text to read; simd/vector_cells-inl.hpp does the same for several cells in lanes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "quant/grid_search.hpp"

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

  /// Step of each group that fits it best with freely chosen levels.
  void fit(std::array<float, kGroupsOf<Shape>>& steps) const noexcept {
    for (std::size_t g = 0; g < steps.size(); ++g) {
      float top = 0;
      for (std::size_t i = g * Shape::kGroup; i < (g + 1) * Shape::kGroup; ++i)
        top = std::max(top, std::fabs(x_[i]));
      StepFit best;
      for (int k = 0; k < kFits && top >= kZeroGroup; ++k) {
        const float step = top / Shape::kLevels.back() * (kFitFirst + kFitStride * static_cast<float>(k));
        const float inverse = 1 / step;
        float cross = 0, square = 0;
        for (std::size_t i = g * Shape::kGroup; i < (g + 1) * Shape::kGroup; ++i) {
          const float level = nearest_magnitude<Shape>(std::fabs(x_[i]) * inverse);
          const float weighted = weights_[i] * level;
          square += weighted * level;
          cross += weighted * std::fabs(x_[i]);
        }
        best.offer(cross, square);
      }
      steps[g] = best.d;
    }
  }

  /// Goes through the whole codebook for each cell and step.
  void search(CellResults& results) const noexcept {
    for (std::size_t cell = 0; cell < kCells<Shape>; ++cell) {
      const HalfSums first = half_sums(cell, 0), second = half_sums(cell, kHalf);
      const auto halves = Shape::halves();
      std::array<float, kTries> best;
      best.fill(-std::numeric_limits<float>::infinity());
      for (std::size_t word = 0; word < halves.size(); ++word) {
        const auto [a, b] = halves[word];
        float cross = first.cross[a] + second.cross[b];
        if (kChoosesFlip) cross -= std::min(first.flip[a], second.flip[b]);
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
  }

  /// Sum of w (x - y)^2 of a block whose cells gain so much.
  float error_of(float gain) const noexcept {
    std::array<float, kPartialSums> squares{};
    for (std::size_t i = 0; i < blocks::kSuper; ++i) squares[i % kPartialSums] += weights_[i] * x_[i] * x_[i];
    return tree_sum(squares) - gain;
  }

  CellSums sums(std::size_t cell, std::uint16_t word, bool) const noexcept {
    const codebooks::Codeword& levels = Shape::words()[word];
    CellSums sums;
    float cheapest = std::numeric_limits<float>::infinity();
    for (std::size_t e = 0; e < kCell; ++e) {
      const std::size_t i = cell * kCell + e;
      const float level = levels[e];
      const float product = weights_[i] * magnitude_[i] * level;
      sums.cross += product;
      sums.square += weights_[i] * level * level;
      cheapest = std::min(cheapest, product);
    }
    if (kChoosesFlip && odd_[cell]) sums.cross -= 2 * cheapest;
    return sums;
  }

  /// Signs for the codewords that were chosen.
  void finish(GridChoice& choice) const noexcept {
    choice.signs = signs_;
    if constexpr (kChoosesFlip) {
      for (std::size_t cell = 0; cell < kCells<Shape>; ++cell) {
        if (!odd_[cell]) continue;
        const codebooks::Codeword& levels = Shape::words()[choice.words[cell]];
        std::size_t flip = 0;
        float cheapest = std::numeric_limits<float>::infinity();
        for (std::size_t e = 0; e < kCell; ++e) {
          const std::size_t i = cell * kCell + e;
          const float product = weights_[i] * magnitude_[i] * static_cast<float>(levels[e]);
          if (product < cheapest) cheapest = product, flip = e;
        }
        choice.signs[cell] = static_cast<std::uint8_t>(choice.signs[cell] ^ (1u << flip));
      }
    }
  }

 protected:
  const float* x_;
  const float* weights_;

 private:
  /// For every pattern of half a cell: 2 sum w x L, sum w L L, and what the cheapest wrong sign costs.
  struct HalfSums {
    std::array<float, Shape::kHalves> cross, square, flip;
  };

  HalfSums half_sums(std::size_t cell, std::size_t from) const noexcept {
    HalfSums sums;
    for (std::size_t pattern = 0; pattern < Shape::kHalves; ++pattern) {
      std::size_t rest = pattern, place = Shape::kHalves;
      float cross = 0, square = 0, flip = std::numeric_limits<float>::infinity();
      for (std::size_t e = 0; e < kHalf; ++e) {
        place /= Shape::kLevels.size();
        const float level = Shape::kLevels[rest / place];
        rest %= place;
        const std::size_t i = cell * kCell + from + e;
        const float product = 2 * (weights_[i] * magnitude_[i]) * level;
        cross += product;
        square += weights_[i] * (level * level);
        flip = std::min(flip, 2 * product);
      }
      sums.cross[pattern] = cross;
      sums.square[pattern] = square;
      sums.flip[pattern] = kChoosesFlip && odd_[cell * kCell / 8] ? flip : 0;
    }
    return sums;
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

/// IQ1_S, IQ1_M.
template <class Shape>
class TernaryCells {
  static constexpr std::size_t kCell = 8;
  static constexpr std::size_t kUnit = Shape::kShiftCells * kCell;  ///< weights that share a shift

 public:
  TernaryCells(const float* x, const float* weights) noexcept : x_(x), weights_(weights) {}

  void fit(std::array<float, kGroupsOf<Shape>>& steps) const noexcept {
    for (std::size_t g = 0; g < steps.size(); ++g) {
      const std::size_t first = g * Shape::kGroup;
      float top = 0;
      for (std::size_t i = first; i < first + Shape::kGroup; ++i) top = std::max(top, std::fabs(x_[i]));
      StepFit best;
      for (int k = 0; k < kFits && top >= kZeroGroup; ++k) {
        const float step = top * (kTernaryFitFirst + kTernaryFitStride * static_cast<float>(k));
        CellSums group;
        for (std::size_t unit = first; unit < first + Shape::kGroup; unit += kUnit) {
          const CellSums up = free_sums(unit, step, kIq1Shift), down = free_sums(unit, step, -kIq1Shift);
          const bool is_down = 2 * down.cross - step * down.square > 2 * up.cross - step * up.square;
          group.cross += is_down ? down.cross : up.cross;
          group.square += is_down ? down.square : up.square;
        }
        best.offer(group.cross, group.square);
      }
      steps[g] = best.d;
    }
  }

  void search(CellResults& results) const noexcept {
    for (std::size_t k = 0; k < kTries; ++k) {
      for (std::size_t unit = 0; unit < kCells<Shape>; unit += Shape::kShiftCells) {
        std::array<Best, Shape::kShiftCells> up, down;
        float error_up = 0, error_down = 0;
        for (std::size_t c = 0; c < Shape::kShiftCells; ++c) {
          up[c] = best_code(unit + c, results.step[k][unit + c], kIq1Shift);
          down[c] = best_code(unit + c, results.step[k][unit + c], -kIq1Shift);
          error_up += up[c].error;
          error_down += down[c].error;
        }
        const bool is_down = error_down < error_up;
        for (std::size_t c = 0; c < Shape::kShiftCells; ++c) {
          const Best& best = is_down ? down[c] : up[c];
          results.gain[k][unit + c] = -best.error;
          results.word[k][unit + c] = best.code;
          results.negative_shift[k][unit + c] = is_down ? 1 : 0;
        }
      }
    }
  }

  float error_of(float gain) const noexcept { return -gain; }

  /// @param code  see codebooks::kTernaryOfCode
  CellSums sums(std::size_t cell, std::uint16_t code, bool negative_shift) const noexcept {
    const float shift = negative_shift ? -kIq1Shift : kIq1Shift;
    CellSums sums;
    for (std::size_t e = 0; e < kCell; ++e) {
      const std::size_t i = cell * kCell + e;
      const float value =
          static_cast<float>(codebooks::kTernaryOfCode[(std::uint32_t{code} >> (2 * e)) & 3u]) + shift;
      const float weighted = weights_[i] * value;
      sums.cross += weighted * x_[i];
      sums.square += weighted * value;
    }
    return sums;
  }

  /// Codes into numbers of codewords.
  void finish(GridChoice& choice) const noexcept {
    const auto index = codebooks::iq1_index_of_code();
    for (std::size_t cell = 0; cell < kCells<Shape>; ++cell) {
      choice.words[cell] = static_cast<std::uint16_t>(index[choice.words[cell]]);
    }
  }

 protected:
  const float* x_;
  const float* weights_;

 private:
  struct Best {
    float error = 0;
    std::uint16_t code = 0;
  };

  static float nearest(float value) noexcept { return round_even(std::min(std::max(value, -1.0F), 1.0F)); }

  CellSums free_sums(std::size_t first, float step, float shift) const noexcept {
    const float inverse = 1 / step;
    CellSums sums;
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
  Best best_code(std::size_t cell, float step, float shift) const noexcept {
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
    const auto near = static_cast<std::uint32_t>(members.near[code]);
    const auto far = static_cast<std::uint32_t>(members.far[code]);
    float best = (near & 1u) != 0 ? 0 : std::numeric_limits<float>::infinity();
    std::size_t flip = 0;
    const auto offer = [&](std::size_t j, bool member, float price) {
      if (member && price < best) best = price, flip = j;
    };
    for (std::size_t e = 0; e < kCell; ++e) offer(1 + e, ((near >> (1 + e)) & 1u) != 0, cost[e]);
    std::size_t pair = 0;
    for (std::size_t e = 0; e < kCell; ++e) {
      for (std::size_t f = e + 1; f < kCell; ++f, ++pair) {
        offer(9 + pair, ((far >> pair) & 1u) != 0, cost[e] + cost[f]);
      }
    }
    return {error + best, static_cast<std::uint16_t>(code ^ codebooks::kTernaryFlips[flip])};
  }
};

}  // namespace llmq::reference
