// What is decided about one block before it is packed, and the shapes of the types that are decided this way:
// blocks of groups, each group with levels times a scale (minus a minimum), scales in turn integer multiples
// of one or two half-precision numbers. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "quant/blocks.hpp"
#include "quant/objective.hpp"

namespace llmq {

struct Choice {
  std::array<std::uint8_t, blocks::kSuper> codes{};  ///< 0 = lowest level
  std::array<int, 16> scales{};                      ///< of each group; unused by blocks of one group
  std::array<int, 16> minima{};                      ///< of each group of an affine super-block
  std::uint16_t d = 0;                               ///< half precision
  std::uint16_t dmin = 0;                            ///< unit of the minima, or the offset m of Q4_1 and Q5_1
};

/// Rounding to nearest even for |value| < 2^22, on every machine alike.
inline float round_even(float value) noexcept { return (value + 12582912.0F) - 12582912.0F; }

/// The bound nearest to a value outside; the lower one for what is no number.
inline float within(float value, float low, float high) noexcept {
  return value > low ? std::min(value, high) : low;
}

// Affine types: y = d s q - dmin m, q in 0..kTop.
template <class BlockType, std::size_t Group, std::size_t Groups, int Top, int ScaleTop, int MinTop,
          PlainWeight Plain, Spread Span, int Factor, int UnshrinkPercent = 0>
struct AffineShape {
  using Block = BlockType;
  static constexpr std::size_t kGroup = Group;    ///< weights that share a scale
  static constexpr std::size_t kGroups = Groups;  ///< of one block; 1: d and m belong to the group itself
  static constexpr int kTop = Top;
  static constexpr int kScaleTop = ScaleTop;
  static constexpr int kMinTop = MinTop;
  static constexpr Objective kObjective{Plain, Span, static_cast<float>(Factor)};
  static constexpr float kUnshrink = UnshrinkPercent / 100.0F;  ///< part of the shrinking that is undone
};
using ShapeQ4_1 = AffineShape<blocks::Q4_1, 32, 1, 15, 0, 0, PlainWeight::one, Spread::row, 1>;
using ShapeQ5_1 = AffineShape<blocks::Q5_1, 32, 1, 31, 0, 0, PlainWeight::one, Spread::row, 1>;
using ShapeQ2_K = AffineShape<blocks::Q2_K, 16, 16, 3, 15, 15, PlainWeight::one, Spread::super_block, 1, 75>;
using ShapeQ4_K =
    AffineShape<blocks::Q4_K, 32, 8, 15, 63, 63, PlainWeight::as_even_importance, Spread::super_block, 2, 75>;
using ShapeQ5_K =
    AffineShape<blocks::Q5_K, 32, 8, 31, 63, 63, PlainWeight::as_even_importance, Spread::super_block, 2>;

/// Levels of a signed type: equal steps -n..n-1, or the sixteen uneven ones of IQ4.
enum class Levels : std::uint8_t { even, iq4 };

// Signed types: y = d s level(q).
template <class BlockType, std::size_t Group, std::size_t Groups, Levels Kind, int Half, int ScaleLow,
          PlainWeight Plain, Spread Span, int Factor, int UnshrinkPercent = 0>
struct SignedShape {
  using Block = BlockType;
  static constexpr std::size_t kGroup = Group;
  static constexpr std::size_t kGroups = Groups;
  static constexpr Levels kLevels = Kind;
  static constexpr int kHalf = Half;          ///< n: levels -n..n-1
  static constexpr int kScaleLow = ScaleLow;  ///< scales kScaleLow..-kScaleLow-1
  static constexpr Objective kObjective{Plain, Span, static_cast<float>(Factor)};
  static constexpr float kUnshrink = UnshrinkPercent / 100.0F;  ///< part of the shrinking that is undone
};
using ShapeQ4_0 = SignedShape<blocks::Q4_0, 32, 1, Levels::even, 8, 0, PlainWeight::one, Spread::row, 1>;
using ShapeQ5_0 = SignedShape<blocks::Q5_0, 32, 1, Levels::even, 16, 0, PlainWeight::one, Spread::row, 1>;
using ShapeQ3_K =
    SignedShape<blocks::Q3_K, 16, 16, Levels::even, 4, -32, PlainWeight::one, Spread::super_block, 2, 75>;
using ShapeQ6_K =
    SignedShape<blocks::Q6_K, 16, 16, Levels::even, 32, -128, PlainWeight::one, Spread::none, 1>;
using ShapeIQ4_NL =
    SignedShape<blocks::IQ4_NL, 32, 1, Levels::iq4, 0, 0, PlainWeight::square, Spread::group, 2>;
using ShapeIQ4_XS =
    SignedShape<blocks::IQ4_XS, 32, 8, Levels::iq4, 0, -32, PlainWeight::square, Spread::super_block, 2>;

template <class Shape>
inline constexpr bool kIsAffine = requires {
  Shape::kMinTop;
};
/// Weights of a block of a shape.
template <class Shape>
inline constexpr std::size_t kBlockElems = Shape::kGroup* Shape::kGroups;

/// Start scales of a group: (n + step stride) / range for step = -steps..steps.
struct Starts {
  int steps;
  float stride;
};
inline constexpr Starts kAffineStarts{5, 0.2F};
/// Of either sign; the levels of IQ4 are -127..113.
template <class Shape>
inline constexpr Starts kSignedStarts = Shape::kLevels == Levels::iq4 ? Starts{5, 2.0F} : Starts{4, 0.25F};
template <>
inline constexpr Starts kSignedStarts<ShapeQ6_K>{0, 0.5F};
template <>
inline constexpr Starts kSignedStarts<ShapeQ3_K>{2, 0.5F};
/// After the starts the best one's scale is varied by these factors; least squares follows each time.
inline constexpr float kAffineVariations[] = {1.0F, 0.9F, 1.1F, 0.95F, 1.05F, 1.0F};
inline constexpr float kSignedVariations[] = {1.0F};
/// Sweeps over all groups of a block, its unit refitted between them; starts of the unit of signed types.
/// Where two or one are set more gain little.
template <class Shape>
inline constexpr int kSweeps = 3;
template <class Shape>
inline constexpr std::size_t kUnitStarts = 4;
template <>
inline constexpr int kSweeps<ShapeQ6_K> = 2;
template <>
inline constexpr int kSweeps<ShapeQ3_K> = 2;
template <>
inline constexpr std::size_t kUnitStarts<ShapeQ3_K> = 2;
template <>
inline constexpr std::size_t kUnitStarts<ShapeQ6_K> = 1;
/// Of a scale or minimum, the standing one first. A sweep tries those within its radius: one, or in the first
/// sweep over groups of signed levels this one. It weighs what will be decoded, so that where scales are fine
/// it finds more than as many starts.
inline constexpr float kNeighbours[] = {0, -1, 1, -2, 2, -3, 3, -4, 4};
template <class Shape>
inline constexpr int kFirstRadius = 1;
template <>
inline constexpr int kFirstRadius<ShapeQ6_K> = 4;
inline constexpr float kZeroGroup = 1e-15F;  ///< groups below it have the scale 0

}  // namespace llmq
