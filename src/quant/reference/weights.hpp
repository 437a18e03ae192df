// Weights of the objective inside a group: what counts for an error of each weight.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <span>

#include "llmq/core/half.hpp"

namespace llmq {

inline float mean_square(std::span<const float> x) noexcept {
  float sum = 0;
  for (const float value : x) sum += value * value;
  return sum / static_cast<float>(x.size());
}

/// importance_i sqrt(sigma2 + x_i^2). A group whose importance is zero everywhere counts every weight alike,
/// so that dead columns still get sensible values and no sum vanishes.
inline void weigh(std::span<const float> x, std::span<const float> importance, float sigma2,
                  std::span<float> out) noexcept {
  bool any = false;
  for (std::size_t i = 0; i < x.size(); ++i) {
    out[i] = importance[i] * std::sqrt(sigma2 + x[i] * x[i]);
    any = any || out[i] > 0;
  }
  if (any) return;
  for (float& weight : out) weight = 1;
}

/// Half of a scale; values beyond half precision become the largest finite half, never infinity. Rows so
/// large that their sums overflowed have no scale: 0.
inline std::uint16_t scale_to_half(float scale) noexcept {
  constexpr float kLargest = 65504.0F;
  if (std::isnan(scale)) return 0;
  return f32_to_f16(scale > kLargest ? kLargest : scale < -kLargest ? -kLargest : scale);
}

}  // namespace llmq
