// What the encoders of MXFP4 share: 32 weights, y = 2^(e - 128) level, levels doubled four-bit floats.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "quant/objective.hpp"

namespace llmq {

inline constexpr Objective kMxfp4Objective{PlainWeight::one, Spread::group, 2};

/// Exponents that are written: scale and its inverse are normal floats, no level becomes infinite.
inline constexpr int kMxfp4LowestExponent = 3, kMxfp4HighestExponent = 253;

/// The exponent that brings the largest magnitude to 8..16, of which 12 can be written.
inline int mxfp4_exponent(float top) noexcept {
  const int exponent = static_cast<int>(std::bit_cast<std::uint32_t>(top) >> 23);
  return std::clamp(exponent - 2, kMxfp4LowestExponent, kMxfp4HighestExponent);
}

inline float mxfp4_scale(int exponent) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(exponent - 1) << 23);
}

/// Code of a level without its sign; other places are unused.
inline constexpr std::array<std::uint8_t, 13> kFp4CodeOfLevel = {0, 1, 2, 3, 4, 0, 5, 0, 6, 0, 0, 0, 7};

}  // namespace llmq
