// Held weights in blocks of levels above a minimum, y = d s q - dmin m: the two halves are searched around
// those of an encoder without constraints; for a held weight any scale and level give the minimum that holds
// it. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "quant/choice.hpp"
#include "quant/protected/held_block.hpp"

namespace llmq::held {

/// How far the halves are searched, and at how many pairs that hold all weights a search ends. More where
/// several weights are held, which few pairs do.
struct AffineEffort {
  int reach, hits;
};
inline constexpr AffineEffort kOneHeld{12, 16}, kSeveralHeld{32, 64};
inline constexpr int kScaleReach = 15;  ///< steps of a held group's scale
inline constexpr int kPairReach = 3;    ///< of scale and minimum where two weights decide both halves
inline constexpr int kLevelReach = 4;   ///< of the levels of these two

/// @tparam Shape  an AffineShape
template <class Shape>
class AffineHolder {
  static constexpr std::size_t kGroup = Shape::kGroup, kGroups = Shape::kGroups;
  static constexpr int kScaleTop = kGroups == 1 ? 1 : Shape::kScaleTop;
  static constexpr int kMinTop = kGroups == 1 ? 1 : Shape::kMinTop;
  static constexpr int kLowest = kGroups == 1 ? 1 : 0;  ///< scale and minimum of a block of one group are 1

 public:
  explicit AffineHolder(const HeldBlock& block) : block_(block) {
    std::size_t count = 0;
    for (std::size_t g = 0; g < kGroups; ++g) {
      for (std::size_t i = g * kGroup; i < (g + 1) * kGroup; ++i) {
        if (block.is_held[i]) held_[g].push_back(i);
      }
      std::sort(held_[g].begin(), held_[g].end(), [&](std::size_t a, std::size_t b) {
        return std::fabs(block.x[a]) != std::fabs(block.x[b]) ? std::fabs(block.x[a]) > std::fabs(block.x[b])
                                                              : a < b;
      });
      count += held_[g].size();
    }
    if (count > 1) effort_ = kSeveralHeld;
  }

  /// Pairs of halves around those of the start, ring by ring.
  void search(const Start& start) {
    int hits = 0;
    for (int ring = 0; ring <= effort_.reach && hits < effort_.hits; ++ring) {
      for (int a = -ring; a <= ring; ++a) {
        const int stride = std::abs(a) == ring ? 1 : 2 * ring;
        for (int b = -ring; b <= ring; b += stride) hits += offer(start, a, b) ? 1 : 0;
      }
    }
  }

  /// Two weights held in one group: each pair of levels with scale and minimum gives both halves.
  void search_pairs(const Start& start) {
    for (std::size_t g = 0; g < kGroups; ++g) {
      if (held_[g].size() < 2) continue;
      int hits = 0;
      for_each_scale(start.scale[g] / f16_to_f32(start.d), kPairReach, kScaleTop, [&](int s) {
        for_each_scale(start.minimum[g] / f16_to_f32(start.dmin), kPairReach, kMinTop, [&](int m) {
          if (hits < effort_.hits) hits += solve_pair(start, g, s, m);
        });
      });
      return;
    }
  }

  bool found() const noexcept { return best_.error < kNever; }

  Choice choice() const noexcept {
    Choice choice;
    choice.d = best_.d;
    choice.dmin = best_.dmin;
    choice.scales = best_.scales;
    choice.minima = best_.minima;
    for (std::size_t i = 0; i < block_.elems; ++i) {
      const std::size_t g = i / kGroup;
      const Line line(f16_to_f32(best_.d), f16_to_f32(best_.dmin), best_.scales[g], best_.minima[g]);
      choice.codes[i] = static_cast<std::uint8_t>(line.code(block_.x[i]));
    }
    return choice;
  }

 private:
  struct Found {
    std::uint16_t d = 0, dmin = 0;
    float error = kNever;
    std::array<int, 16> scales{}, minima{};
  };

  /// y = step q - minimum, in the decoder's arithmetic.
  struct Line {
    Line(float d, float dmin, int s, int m) noexcept
        : step(d * static_cast<float>(s)),
          minimum(dmin * static_cast<float>(m)),
          inverse(step != 0 ? 1 / step : 0) {}
    float code(float x) const noexcept {
      const float value = (x + minimum) * inverse;
      return round_even(value > 0 ? std::min(value, static_cast<float>(Shape::kTop)) : 0);
    }
    float decoded(float x) const noexcept { return step * code(x) - minimum; }
    float step, minimum, inverse;
  };

  template <int Lowest = kLowest, class Visit>
  static void for_each_scale(float real, int reach, int top, const Visit& visit) {
    const float bounded = real > 0 ? std::min(real, static_cast<float>(top)) : 0;
    const int own = static_cast<int>(round_even(bounded));
    for (int s = std::max(Lowest, own - reach); s <= std::min(top, own + reach); ++s) visit(s);
  }

  bool holds_all(std::size_t group, const Line& line) const noexcept {
    return std::all_of(held_[group].begin(), held_[group].end(),
                       [&](std::size_t i) { return is_held(block_.x[i], line.decoded(block_.x[i])); });
  }

  float group_error(std::size_t group, const Line& line, float bound) const noexcept {
    float error = 0;
    for (std::size_t i = group * kGroup; i < (group + 1) * kGroup; ++i) {
      const float difference = line.decoded(block_.x[i]) - block_.x[i];
      error += block_.weights[i] * (difference * difference);
      if (error > bound) return kNever;
    }
    return error;
  }

  bool offer(const Start& start, int steps, int min_steps) {
    const int bits = (start.d & 0x7FFF) + steps, min_bits = (start.dmin & 0x7FFF) + min_steps;
    if (bits < 1 || bits > kLargestHalfBits || min_bits < 0 || min_bits > kLargestHalfBits) return false;
    Found found;
    found.d = static_cast<std::uint16_t>(bits);
    found.dmin = static_cast<std::uint16_t>((start.dmin & 0x8000u) | static_cast<unsigned>(min_bits));
    found.error = 0;
    if (!place_held(start, found)) return false;
    place_rest(start, found);
    if (found.error < best_.error) best_ = found;
    return true;
  }

  int solve_pair(const Start& start, std::size_t group, int s, int m) {
    const float a = block_.x[held_[group][0]], b = block_.x[held_[group][1]];
    const Line own(f16_to_f32(start.d), f16_to_f32(start.dmin), s, m);
    int hits = 0;
    for_each_scale<0>(own.code(a), kLevelReach, Shape::kTop, [&](int qa) {
      for_each_scale<0>(own.code(b), kLevelReach, Shape::kTop, [&](int qb) {
        if (qa == qb || s == 0 || m == 0) return;
        const float step = (a - b) / static_cast<float>(qa - qb);
        const float minimum = step * static_cast<float>(qa) - a;
        if (!(step > 0) || (kGroups > 1 && !(minimum >= 0))) return;
        Start solved = start;
        solved.d = scale_to_half(step / static_cast<float>(s));
        solved.dmin = scale_to_half(minimum / static_cast<float>(m));
        for (int i = -1; i <= 1; ++i) {
          for (int j = -1; j <= 1; ++j) hits += offer(solved, i, j) ? 1 : 0;
        }
      });
    });
    return hits;
  }

  bool place_held(const Start& start, Found& found) const {
    const float d = f16_to_f32(found.d), dmin = f16_to_f32(found.dmin);
    const float inverse_min = dmin != 0 ? 1 / dmin : 0;
    for (std::size_t g = 0; g < kGroups; ++g) {
      if (held_[g].empty()) continue;
      const float x = block_.x[held_[g].front()];
      float best = kNever;
      for_each_scale(start.scale[g] / d, kScaleReach, kScaleTop, [&](int s) {
        const float step = d * static_cast<float>(s);
        for (int q = 0; q <= Shape::kTop; ++q) {
          const float above = step * static_cast<float>(q);
          const float real = dmin != 0 ? (above - x) * inverse_min : kLowest;
          if (!(real > -1) || !(real < static_cast<float>(kMinTop) + 1)) continue;
          const int m = std::clamp(static_cast<int>(round_even(real)), kLowest, kMinTop);
          if (!is_held(x, above - dmin * static_cast<float>(m))) continue;
          const Line line(d, dmin, s, m);
          if (!holds_all(g, line)) continue;
          const float error = group_error(g, line, best);
          if (error < best) best = error, found.scales[g] = s, found.minima[g] = m;
        }
      });
      if (!(best < kNever)) return false;
      found.error += best;
    }
    return true;
  }

  void place_rest(const Start& start, Found& found) const {
    const float d = f16_to_f32(found.d), dmin = f16_to_f32(found.dmin);
    for (std::size_t g = 0; g < kGroups; ++g) {
      if (!held_[g].empty()) continue;
      float best = kNever;
      for_each_scale(start.scale[g] / d, 1, kScaleTop, [&](int s) {
        for_each_scale(dmin != 0 ? start.minimum[g] / dmin : 0, 1, kMinTop, [&](int m) {
          const float error = group_error(g, Line(d, dmin, s, m), best);
          if (error < best) best = error, found.scales[g] = s, found.minima[g] = m;
        });
      });
      found.error += best;
    }
  }

  const HeldBlock& block_;
  std::array<std::vector<std::size_t>, kGroups> held_;  ///< by group, the largest first
  AffineEffort effort_ = kOneHeld;
  Found best_;
};

}  // namespace llmq::held
