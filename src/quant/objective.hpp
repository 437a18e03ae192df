// What an error of each weight counts for while scales and codes are searched: docs/formats/blocks.md, "How
// numbers are chosen". Sums are taken in one fixed order (sixteen partial sums, then left to right), which
// vector code follows lane by lane. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "llmq/core/half.hpp"

namespace llmq {

/// Without importance a weight's own size says what its error counts for.
enum class PlainWeight : std::uint8_t {
  one,
  square,              ///< x^2
  as_even_importance,  ///< as with importance 1 everywhere
};

/// With importance a: a sqrt(factor sigma2 + x^2), sigma2 the mean square over a row, a super-block or a
/// group.
enum class Spread : std::uint8_t { row, super_block, group, none };  ///< none: a alone

struct Objective {
  PlainWeight plain = PlainWeight::one;
  Spread spread = Spread::super_block;
  float factor = 2;
};

inline constexpr std::size_t kPartialSums = 16;
/// Weights and what they are made of stay below, so that no product of zero and infinity arises.
inline constexpr float kLargestWeight = 1e30F;

/// Sum in a fixed order that vector code can follow: halves are added until one number is left.
template <std::size_t Count>
inline float tree_sum(std::array<float, Count> values) noexcept {
  for (std::size_t half = Count / 2; half > 0; half /= 2) {
    for (std::size_t j = 0; j < half; ++j) values[j] += values[j + half];
  }
  return values[0];
}

/// Mean of squares; the size is a multiple of sixteen.
inline float mean_square(std::span<const float> x) noexcept {
  std::array<float, kPartialSums> partial{};
  for (std::size_t i = 0; i < x.size(); i += kPartialSums) {
    for (std::size_t lane = 0; lane < kPartialSums; ++lane) partial[lane] += x[i + lane] * x[i + lane];
  }
  return tree_sum(partial) / static_cast<float>(x.size());
}

/// Importance of some columns; empty where there is none.
inline std::span<const float> importance_of(std::span<const float> importance, std::size_t first,
                                            std::size_t count) noexcept {
  return importance.empty() ? importance : importance.subspan(first, count);
}

/// Weights of one group of a block. A group that counts nowhere counts every weight alike, so that dead
/// columns still get sensible values and no sum vanishes.
/// @param sigma2  mean square over what the objective's spread says, not yet times the factor
inline void weigh_group(const Objective& objective, std::span<const float> x,
                        std::span<const float> importance, float sigma2, std::span<float> weights) noexcept {
  const float spread = objective.factor * sigma2;
  const auto plain_weight = [&](float value) {
    switch (objective.plain) {
      case PlainWeight::one:
        return 1.0F;
      case PlainWeight::square:
        return value * value;
      case PlainWeight::as_even_importance:
        break;
    }
    return std::sqrt(std::min(spread + value * value, kLargestWeight));
  };
  bool any = false;
  for (std::size_t i = 0; i < x.size(); ++i) {
    float weight = 0;
    if (importance.empty()) {
      weight = plain_weight(x[i]);
    } else {
      weight = importance[i];
      if (objective.spread != Spread::none)
        weight *= std::sqrt(std::min(spread + x[i] * x[i], kLargestWeight));
    }
    weights[i] = std::min(weight, kLargestWeight);
    any = any || weight > 0;
  }
  if (any) return;
  for (float& weight : weights) weight = 1;
}

/// Weights of one block of groups.
/// @param importance  empty or one value per weight   @param row_mean_square  for Spread::row
template <std::size_t Group, std::size_t Elems>
inline void weigh_block(const Objective& objective, const float* x, std::span<const float> importance,
                        float row_mean_square, float* weights) noexcept {
  float sigma2 = row_mean_square;
  if (objective.spread == Spread::super_block || objective.spread == Spread::group) {
    sigma2 = mean_square(std::span<const float>(x, Elems));
  }
  for (std::size_t at = 0; at < Elems; at += Group) {
    weigh_group(objective, std::span<const float>(x + at, Group), importance_of(importance, at, Group),
                sigma2, std::span(weights + at, Group));
  }
}

/// Half of a scale; values beyond half precision become the largest finite half, never infinity. Rows so
/// large that their sums overflowed have no scale: 0.
inline std::uint16_t scale_to_half(float scale) noexcept {
  constexpr float kLargest = 65504.0F;
  if (std::isnan(scale)) return 0;
  return f32_to_f16(scale > kLargest ? kLargest : scale < -kLargest ? -kLargest : scale);
}

/// 1 / scale; 0 below the normal floats, where the inverse may be infinite and the scale's half is 0.
inline float inverse_of_scale(float scale) noexcept {
  return scale >= std::numeric_limits<float>::min() ? 1 / scale : 0;
}

}  // namespace llmq
