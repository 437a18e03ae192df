// Searches for scales and codes (docs/formats/blocks.md, "How numbers are chosen"). Plain f32 arithmetic from
// left to right, no fused operations: the same bytes on every machine. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace llmq::search {

/// Nearest integer, ties to even, for |x| < 2^22: the sum with 1.5 x 2^23 keeps the integer in its low bits.
inline int round_to_int(float x) noexcept {
  const float shifted = x + 12582912.0F;
  return (__builtin_bit_cast(int, shifted) & 0x007FFFFF) - 0x00400000;
}

inline int clamp(int value, int low, int high) noexcept {
  return value < low ? low : value > high ? high : value;
}

/// Levels -n .. n-1 with one signed scale: maximises (sum w x l)^2 / sum w l^2 over 19 starting scales.
/// @param weights  same size as x, >= 0   @param codes  receives l + n   @returns the scale d; 0 for a zero
/// group
float symmetric(int n, std::span<const float> x, std::span<const float> weights,
                std::span<std::uint8_t> codes) noexcept;

/// How the asymmetric search walks: start scales (n + first + t step) / range, t = 0..steps.
struct AsymmetricWalk {
  int n;
  float first;
  float step;
  int steps;
};
struct ScaleMin {
  float d = 0;    ///< >= 0
  float min = 0;  ///< the minimum as a positive number: y = d l - min
};
/// Levels 0..n, x ~ d l - min, min >= 0: weighted least squares for each start, smallest squared error wins.
ScaleMin asymmetric(const AsymmetricWalk& walk, std::span<const float> x, std::span<const float> weights,
                    std::span<std::uint8_t> codes) noexcept;

/// Non-negative values on levels 0..n with weights: best of 9 scales, then coordinate ascent. @returns the
/// scale.
float non_negative(int n, std::span<const float> values, std::span<const float> weights,
                   std::span<std::uint8_t> codes) noexcept;

}  // namespace llmq::search
