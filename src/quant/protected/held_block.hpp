// One block with weights that must be held, and the walk over half-precision units that all searches share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "llmq/core/half.hpp"
#include "llmq/quant/protected.hpp"

#include "quant/blocks.hpp"
#include "quant/objective.hpp"

namespace llmq::held {

inline constexpr float kNever = std::numeric_limits<float>::infinity();

/// What a block encoder gets. Among blocks that hold what must be held the least sum w (x - y)^2 wins.
struct HeldBlock {
  std::array<float, blocks::kSuper> x{};
  std::array<float, blocks::kSuper> weights{};  ///< of the type's objective
  std::array<float, blocks::kSuper> rest{};     ///< the same, 0 where a weight is held
  std::array<bool, blocks::kSuper> is_held{};
  std::size_t elems = 0;

  /// The weights of the objective, those of held weights multiplied so that a search without constraints
  /// hardly minds the others (`pull` > 1), or does not see the held ones (0).
  std::array<float, blocks::kSuper> pulled(float pull) const noexcept {
    std::array<float, blocks::kSuper> result = rest;
    if (pull == 0) return result;
    const float top = std::max(*std::max_element(weights.begin(), weights.end()), 1e-30F);
    for (std::size_t i = 0; i < elems; ++i) {
      if (is_held[i]) result[i] = pull == 1 ? weights[i] : std::min(top * pull, kLargestWeight);
    }
    return result;
  }
  float largest_held() const noexcept {
    float largest = 0;
    for (std::size_t i = 0; i < elems; ++i) {
      if (is_held[i] && std::fabs(x[i]) > std::fabs(largest)) largest = x[i];
    }
    return largest;
  }
};

/// Searches without constraints that are begun from: as they are, for the rest alone, for the held ones.
inline constexpr std::array<float, 3> kPulls = {1, 0, 4096};

inline constexpr std::uint16_t kLargestHalfBits = 0x7BFF;

/// Halves of the sign of `start` by distance in steps, the start first: visit(half, distance) until it says
/// false. Neither zero nor infinity comes up.
template <class Visit>
inline void walk_halves(std::uint16_t start, int reach, const Visit& visit) {
  const auto sign = static_cast<std::uint16_t>(start & 0x8000u);
  const int middle = std::clamp<int>(start & 0x7FFF, 1, kLargestHalfBits);
  for (int distance = 0; distance <= reach; ++distance) {
    for (const int at : {middle + distance, middle - distance}) {
      if (at < 1 || at > kLargestHalfBits) continue;
      if (!visit(static_cast<std::uint16_t>(sign | at))) return;
      if (distance == 0) break;
    }
  }
}

/// Real scales of the groups that a search starts from, and its halves.
struct Start {
  std::uint16_t d = 0, dmin = 0;
  std::array<float, 16> scale{}, minimum{};  ///< in units of the weights
};

}  // namespace llmq::held
