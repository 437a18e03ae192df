// Best codeword of a cell at a step, with held weights at levels that hold them. What halves of codewords
// cost is summed once, then every codeword is the sum of two. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>

#include "quant/grid_choice.hpp"
#include "quant/protected/held_block.hpp"

namespace llmq::held {

/// Codewords of IQ1 as two halves of four values.
std::span<const codebooks::HalfPair> iq1_halves();

struct CellChoice {
  float error = kNever;
  std::uint16_t word = 0;
  std::uint8_t flip = 8;  ///< element of the cell whose sign is wrong; 8: none
};

/// @tparam Shape  a MagnitudeShape or a TernaryShape
template <class Shape>
class CellSearch {
  static constexpr bool kTernary = kIsTernaryGrid<Shape>;
  static constexpr std::size_t kCell = Shape::kCell, kHalf = kCell / 2;

 public:
  static constexpr std::size_t kLevelCount = [] {
    if constexpr (kTernary)
      return std::size_t{3};
    else
      return Shape::kLevels.size();
  }();
  static constexpr std::size_t kPatterns = kLevelCount == 3 ? 81 : 64;
  static constexpr bool kEven = [] {
    if constexpr (kTernary)
      return false;
    else
      return Shape::kSigns == SignCode::even;
  }();
  /// Cells of eight choose with their codeword which sign is wrong; where eight weights are two cells, the
  /// cheapest is settled beforehand.
  static constexpr bool kChoosesFlip = kEven && kCell == 8;

  explicit CellSearch(const HeldBlock& block) noexcept : block_(block), values_(block.x) {
    if constexpr (!kTernary) take_signs();
  }

  static std::span<const codebooks::HalfPair> words() {
    if constexpr (kTernary)
      return iq1_halves();
    else
      return Shape::halves();
  }

  /// @param step   unit (2 s + 1) factor   @param shift  of IQ1's levels
  CellChoice best(std::size_t cell, float step, float shift) const {
    const HalfCosts first = costs(cell, 0, step, shift), second = costs(cell, kHalf, step, shift);
    const bool flips = kChoosesFlip && odd_[cell];
    CellChoice choice;
    const auto pairs = words();
    for (std::size_t word = 0; word < pairs.size(); ++word) {
      const auto [a, b] = pairs[word];
      float error = first.keep[a] + second.keep[b];
      if (flips) error = std::min(first.flip[a] + second.keep[b], first.keep[a] + second.flip[b]);
      if (error < choice.error) choice.error = error, choice.word = static_cast<std::uint16_t>(word);
    }
    if (flips && choice.error < kNever) {
      const auto [a, b] = pairs[choice.word];
      const bool in_first = first.flip[a] + second.keep[b] <= first.keep[a] + second.flip[b];
      choice.flip = in_first ? first.flipped[a] : static_cast<std::uint8_t>(kHalf + second.flipped[b]);
    }
    return choice;
  }

  /// Signs of eight weights, those settled beforehand turned.
  std::uint8_t signs(std::size_t eight) const noexcept { return signs_[eight]; }

 private:
  /// Of each pattern of half a cell: its error, the same with the cheapest wrong sign, and which that is.
  struct HalfCosts {
    std::array<float, kPatterns> keep, flip;
    std::array<std::uint8_t, kPatterns> flipped;
  };

  static float level(std::size_t index, float shift) noexcept {
    if constexpr (kTernary)
      return static_cast<float>(index) - 1 + shift;
    else
      return static_cast<float>(Shape::kLevels[index]);
  }

  float cost(std::size_t i, float y) const noexcept {
    if (block_.is_held[i] && !is_held(values_[i], y)) return kNever;
    const float difference = y - values_[i];
    return block_.weights[i] * (difference * difference);
  }

  HalfCosts costs(std::size_t cell, std::size_t from, float step, float shift) const noexcept {
    std::array<std::array<float, kLevelCount>, kHalf> keep, flip;
    for (std::size_t e = 0; e < kHalf; ++e) {
      for (std::size_t l = 0; l < kLevelCount; ++l) {
        const std::size_t i = cell * kCell + from + e;
        keep[e][l] = cost(i, step * level(l, shift));
        flip[e][l] = kChoosesFlip ? cost(i, -step * level(l, shift)) : kNever;
      }
    }
    HalfCosts sums;
    for (std::size_t pattern = 0; pattern < kPatterns; ++pattern) {
      std::array<std::size_t, kHalf> levels;
      for (std::size_t e = kHalf, rest = pattern; e-- > 0; rest /= kLevelCount)
        levels[e] = rest % kLevelCount;
      float sum = 0;
      for (std::size_t e = 0; e < kHalf; ++e) sum += keep[e][levels[e]];
      sums.keep[pattern] = sum;
      sums.flip[pattern] = kNever;
      if (!kChoosesFlip || !odd_[cell]) continue;
      for (std::size_t f = 0; f < kHalf; ++f) {
        float turned = 0;
        for (std::size_t e = 0; e < kHalf; ++e) turned += e == f ? flip[e][levels[e]] : keep[e][levels[e]];
        if (turned < sums.flip[pattern])
          sums.flip[pattern] = turned, sums.flipped[pattern] = static_cast<std::uint8_t>(f);
      }
    }
    return sums;
  }

  void take_signs() noexcept {
    for (std::size_t k = 0; k < 32; ++k) {
      unsigned negatives = 0;
      for (std::size_t e = 0; e < 8; ++e) {
        negatives |= (block_.x[8 * k + e] < 0 ? 1u : 0u) << e;
        values_[8 * k + e] = std::fabs(block_.x[8 * k + e]);
      }
      signs_[k] = static_cast<std::uint8_t>(negatives);
      odd_[k] = kEven && std::popcount(negatives) % 2 != 0;
      if (kEven && !kChoosesFlip && odd_[k]) flip_cheapest(k);
    }
  }

  void flip_cheapest(std::size_t k) noexcept {
    std::size_t flip = 8;
    float cheapest = kNever;
    for (std::size_t e = 0; e < 8; ++e) {
      const std::size_t i = 8 * k + e;
      const float price = block_.rest[i] * block_.x[i] * block_.x[i];
      if (!block_.is_held[i] && price < cheapest) cheapest = price, flip = e;
    }
    if (flip == 8) return;  // all are held: no codeword will do
    values_[8 * k + flip] = -values_[8 * k + flip];
    signs_[k] = static_cast<std::uint8_t>(signs_[k] ^ (1u << flip));
  }

  const HeldBlock& block_;
  std::array<float, blocks::kSuper>
      values_;  ///< magnitudes, below zero where the sign is wrong; IQ1: weights
  std::array<std::uint8_t, 32> signs_{};
  std::array<bool, 32> odd_{};
};

}  // namespace llmq::held
