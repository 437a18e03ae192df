// Held weights in blocks of signed levels, y = d s level(q): d is searched near that of an encoder without
// constraints; the groups of held weights may take any scale that holds them, the others those beside their
// own. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "quant/choice.hpp"
#include "quant/protected/held_block.hpp"

namespace llmq::held {

/// Halves that hold all weights are weighed until so many were found from one start, within so many steps.
inline constexpr int kSignedHits = 16;
inline constexpr int kSignedReach = 1536;

/// @tparam Type  kGroup, kGroups, kScaleLow, kScaleHigh (1 and 1 if there are no scales), kCodes, code(value)
/// of
///               the nearest level, level(code)
template <class Type>
class SignedHolder {
 public:
  explicit SignedHolder(const HeldBlock& block) noexcept : block_(block) {
    for (std::size_t g = 0; g < Type::kGroups; ++g) {
      for (std::size_t i = (g + 1) * Type::kGroup; i-- > g * Type::kGroup;) {
        if (block.is_held[i]) holds_[g] = true, first_held_[g] = i;
      }
    }
  }

  void search(const Start& start) {
    int hits = 0;
    walk_halves(start.d, kSignedReach, [&](std::uint16_t half) {
      Found found{half, 0, {}};
      if (!place_held(found)) return true;
      place_rest(start, found);
      if (found.error < best_.error) best_ = found;
      return ++hits < kSignedHits;
    });
  }

  bool found() const noexcept { return best_.error < kNever; }

  Choice choice() const noexcept {
    Choice choice;
    choice.d = best_.d;
    choice.scales = best_.scales;
    const float d = f16_to_f32(best_.d);
    for (std::size_t i = 0; i < block_.elems; ++i) {
      const float step = d * static_cast<float>(best_.scales[i / Type::kGroup]);
      choice.codes[i] = static_cast<std::uint8_t>(Type::code(step != 0 ? block_.x[i] / step : 0));
    }
    return choice;
  }

 private:
  struct Found {
    std::uint16_t d = 0;
    float error = kNever;
    std::array<int, 16> scales{};
  };

  /// Sum w (x - y)^2 of a group, kNever if a held weight is not held; gives up above `bound`.
  float group_error(std::size_t group, float step, float bound) const noexcept {
    const float inverse = step != 0 ? 1 / step : 0;
    const std::size_t first = group * Type::kGroup;
    if (holds_[group]) {
      for (std::size_t i = first; i < first + Type::kGroup; ++i) {
        if (block_.is_held[i] && !is_held(block_.x[i], step * Type::level(Type::code(block_.x[i] * inverse))))
          return kNever;
      }
    }
    float error = 0;
    for (std::size_t i = first; i < first + Type::kGroup; ++i) {
      const float difference = step * Type::level(Type::code(block_.x[i] * inverse)) - block_.x[i];
      error += block_.weights[i] * (difference * difference);
      if (error > bound) return kNever;
    }
    return error;
  }

  /// Scales at which some level holds x.
  template <class Visit>
  static void for_each_scale(float x, float d, const Visit& visit) noexcept {
    if (Type::kGroups == 1 || x == 0) {
      for (int s = Type::kScaleLow; s <= Type::kScaleHigh; ++s) visit(s);
      return;
    }
    const float multiple = x / d;  // of scale and level
    for (int code = 0; code < Type::kCodes; ++code) {
      const float level = Type::level(code);
      const float real = level != 0 ? multiple / level : 0;
      if (!(real > Type::kScaleLow - 1) || !(real < Type::kScaleHigh + 1)) continue;
      const int s = std::clamp(static_cast<int>(round_even(real)), Type::kScaleLow, Type::kScaleHigh);
      if (is_held(x, d * static_cast<float>(s) * level)) visit(s);
    }
  }

  bool place_held(Found& found) const noexcept {
    const float d = f16_to_f32(found.d);
    for (std::size_t g = 0; g < Type::kGroups; ++g) {
      if (!holds_[g]) continue;
      float best = kNever;
      for_each_scale(block_.x[first_held_[g]], d, [&](int s) {
        const float error = group_error(g, d * static_cast<float>(s), best);
        if (error < best) best = error, found.scales[g] = s;
      });
      if (!(best < kNever)) return false;
      found.error += best;
    }
    return true;
  }

  void place_rest(const Start& start, Found& found) const noexcept {
    const float d = f16_to_f32(found.d);
    for (std::size_t g = 0; g < Type::kGroups; ++g) {
      if (holds_[g]) continue;
      float best = kNever;
      const float own =
          round_even(std::clamp(start.scale[g] / d, float{Type::kScaleLow}, float{Type::kScaleHigh}));
      for (int s = static_cast<int>(own) - 1; s <= static_cast<int>(own) + 1; ++s) {
        if (s < Type::kScaleLow || s > Type::kScaleHigh) continue;
        const float error = group_error(g, d * static_cast<float>(s), best);
        if (error < best) best = error, found.scales[g] = s;
      }
      found.error += best;
    }
  }

  const HeldBlock& block_;
  std::array<bool, Type::kGroups> holds_{};
  std::array<std::size_t, Type::kGroups> first_held_{};
  Found best_;
};

}  // namespace llmq::held
