// What is decided about one super-block of the grid types, and their shapes. Cells of four or eight weights
// are codewords; groups of cells share a scale: y = unit (2 s + 1) factor G sign, or (G + shift) for IQ1.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "quant/blocks.hpp"
#include "quant/codebooks.hpp"
#include "quant/objective.hpp"

namespace llmq {

inline constexpr std::size_t kMaxCells = 64;
inline constexpr std::size_t kMaxGroups = 16;

struct GridChoice {
  std::uint16_t d = 0;                            ///< half precision
  std::array<int, kMaxGroups> scales{};           ///< s of each group
  std::array<std::uint16_t, kMaxCells> words{};   ///< codeword of each cell
  std::array<std::uint8_t, 32> signs{};           ///< of each eight weights, bit e: negative. IQ2, IQ3
  std::array<std::uint8_t, 32> negative_shift{};  ///< of each cell: 1 for -1/8. IQ1
};

/// How the signs of eight weights are stored.
enum class SignCode : std::uint8_t { all, even };  ///< even: seven bits, the number of negatives is even

// IQ2_*, IQ3_*: magnitudes from a codebook, signs apart.
template <class BlockType, std::size_t Cell, std::size_t Group, SignCode Signs, int FactorDivisor, auto Words,
          auto Halves, const auto& LevelTable, PlainWeight Plain, int SpreadFactor, int Sweeps,
          int UnshrinkPercent>
struct MagnitudeShape {
  using Block = BlockType;
  static constexpr std::size_t kCell = Cell;
  static constexpr std::size_t kGroup = Group;
  static constexpr SignCode kSigns = Signs;
  static constexpr float kFactor = 1.0F / FactorDivisor;
  static constexpr int kScaleTop = 15;
  static constexpr auto kLevels = LevelTable;
  static constexpr std::size_t kHalves = LevelTable.size() == 3 ? 81 : 64;  ///< patterns of half a cell
  /// The spread is two to four times the reference's, by KL divergence (bench/RESULTS.md).
  static constexpr Objective kObjective{Plain, Spread::super_block, static_cast<float>(SpreadFactor)};
  /// At most so many: in each every group tries the scales beside its own, then the unit is refitted.
  static constexpr int kSweeps = Sweeps;
  /// Part of the shrinking of least squares that is undone; found by KL divergence (bench/RESULTS.md).
  static constexpr float kUnshrink = UnshrinkPercent / 100.0F;
  static std::span<const codebooks::Codeword> words() noexcept { return Words(); }
  static std::span<const codebooks::HalfPair> halves() noexcept { return Halves(); }
  static const codebooks::ByFirstHalf& by_first_half() noexcept {
    static const codebooks::ByFirstHalf table(Halves(), kHalves);
    return table;
  }
};
using ShapeIQ2_XXS =
    MagnitudeShape<blocks::IQ2_XXS, 8, 32, SignCode::even, 8, &codebooks::iq2_xxs, &codebooks::iq2_xxs_halves,
                   codebooks::kIq2Levels, PlainWeight::as_even_importance, 4, 6, 25>;
using ShapeIQ2_XS =
    MagnitudeShape<blocks::IQ2_XS, 8, 16, SignCode::even, 8, &codebooks::iq2_xs, &codebooks::iq2_xs_halves,
                   codebooks::kIq2Levels, PlainWeight::as_even_importance, 4, 6, 40>;
using ShapeIQ2_S =
    MagnitudeShape<blocks::IQ2_S, 8, 16, SignCode::all, 8, &codebooks::iq2_s, &codebooks::iq2_s_halves,
                   codebooks::kIq2Levels, PlainWeight::one, 8, 6, 40>;
using ShapeIQ3_XXS =
    MagnitudeShape<blocks::IQ3_XXS, 4, 32, SignCode::even, 4, &codebooks::iq3_xxs, &codebooks::iq3_xxs_halves,
                   codebooks::kIq3XxsLevels, PlainWeight::one, 4, 6, 40>;
using ShapeIQ3_S =
    MagnitudeShape<blocks::IQ3_S, 4, 32, SignCode::all, 1, &codebooks::iq3_s, &codebooks::iq3_s_halves,
                   codebooks::kIq3SLevels, PlainWeight::as_even_importance, 8, 6, 40>;

// IQ1_*: values -1, 0, 1, all shifted by an eighth one way or the other.
template <class BlockType, std::size_t Group, std::size_t Shift, PlainWeight Plain>
struct TernaryShape {
  using Block = BlockType;
  static constexpr std::size_t kCell = 8;
  static constexpr std::size_t kGroup = Group;
  static constexpr std::size_t kShiftCells = Shift;  ///< cells that share the direction of the shift
  static constexpr float kFactor = 1;
  static constexpr int kScaleTop = 7;
  static constexpr Objective kObjective{Plain, Spread::super_block, 4};
  static constexpr int kSweeps = 3;
  static constexpr float kUnshrink = 0.75F;
};
using ShapeIQ1_S = TernaryShape<blocks::IQ1_S, 32, 4, PlainWeight::as_even_importance>;
using ShapeIQ1_M = TernaryShape<blocks::IQ1_M, 16, 1, PlainWeight::as_even_importance>;

inline constexpr float kIq1Shift = 0.125F;

template <class Shape>
inline constexpr bool kIsTernaryGrid = requires {
  Shape::kShiftCells;
};
template <class Shape>
inline constexpr std::size_t kCells = blocks::kSuper / Shape::kCell;
template <class Shape>
inline constexpr std::size_t kGroupsOf = blocks::kSuper / Shape::kGroup;

/// Start steps of a group, relative to the one at which its largest weight is the highest level: kFitFirst +
/// k kFitStride, k = 0..kFits-1, with levels chosen freely. They need not be codewords yet.
inline constexpr int kFits = 12;
inline constexpr float kFitFirst = 0.4F, kFitStride = 0.8F / 11;
inline constexpr float kTernaryFitFirst = 0.1F, kTernaryFitStride = 0.9F / 11;

}  // namespace llmq
