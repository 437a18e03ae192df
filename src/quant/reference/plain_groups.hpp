// Inner loops of the search (group_search.hpp) in plain C++: one group after the other, sums from left to
// right. This is the text to read; simd/vector_groups-inl.hpp does the same for sixteen groups in lanes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

#include "quant/codebooks.hpp"
#include "quant/group_search.hpp"

namespace llmq::reference {

/// What both kinds of groups share: weights of sixteen groups back to back.
template <class Shape>
class Groups {
 public:
  static constexpr std::size_t kGroup = Shape::kGroup;

  /// @param x, weights  kSlots groups of kGroup
  Groups(const float* x, const float* weights) noexcept : x_(x), weights_(weights) {}

  /// Weights of one block in the objective: weigh_block.
  static void weigh(const float* x, std::span<const float> importance, float row_mean_square,
                    float* weights) noexcept {
    weigh_block<kGroup, kBlockElems<Shape>>(Shape::kObjective, x, importance, row_mean_square, weights);
  }

 protected:
  std::span<const float, kGroup> values_of(std::size_t slot) const noexcept {
    return std::span<const float, kGroup>(x_ + slot * kGroup, kGroup);
  }
  std::span<const float, kGroup> weights_of(std::size_t slot) const noexcept {
    return std::span<const float, kGroup>(weights_ + slot * kGroup, kGroup);
  }

 private:
  const float* x_;
  const float* weights_;
};

/// y = d q - m, q in 0..kTop.
template <class Shape>
class AffineGroups : public Groups<Shape> {
  using Base = Groups<Shape>;
  static constexpr std::size_t kGroup = Shape::kGroup;
  static constexpr auto kTop = static_cast<float>(Shape::kTop);
  static constexpr bool kMinimumBelowZero = Shape::kGroups > 1;  ///< the format stores m >= 0 only

 public:
  AffineGroups(const float* x, const float* weights) noexcept : Base(x, weights) {
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      for (std::size_t i = 0; i < kGroup; ++i) {
        sums_.w[slot] += this->weights_of(slot)[i];
        sums_.x[slot] += this->weights_of(slot)[i] * this->values_of(slot)[i];
      }
    }
  }
  const GroupSums& sums() const noexcept { return sums_; }

  /// Real scale and minimum of every group.
  void fit(PerSlot& d, PerSlot& minimum) const noexcept {
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      const Fit found = fit_group(slot);
      d[slot] = found.d;
      minimum[slot] = -found.low;
    }
  }

  /// Every group takes the best of the scales and minima beside its own.
  void sweep(int radius, Trial& trial) const noexcept {
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      const float scale = trial.scale[slot], minimum = trial.minimum[slot];
      float best = std::numeric_limits<float>::infinity();
      const auto tries = static_cast<std::size_t>(2 * radius + 1);
      for (std::size_t a = 0; a < tries; ++a) {
        const float s = within(scale + kNeighbours[a], 0, radius > 0 ? float{Shape::kScaleTop} : 1);
        for (std::size_t b = 0; b < tries; ++b) {
          const float m = within(minimum + kNeighbours[b], 0, radius > 0 ? float{Shape::kMinTop} : 1);
          const float error = error_of(slot, trial.unit[slot] * s, trial.unit_min[slot] * m);
          if (!(error < best)) continue;
          best = error;
          trial.scale[slot] = s;
          trial.minimum[slot] = m;
        }
      }
      trial.error[slot] = best;
    }
  }

  /// Sums over the codes of every group at its scale.
  void sum_up(Trial& trial) const noexcept {
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      const Decoding decoding(trial, slot);
      float sum_l = 0, sum_ll = 0, sum_xl = 0;
      for (std::size_t i = 0; i < kGroup; ++i) {
        const float x = this->values_of(slot)[i];
        const float level = decoding.level(x);
        const float weighted = this->weights_of(slot)[i] * level;
        sum_l += weighted;
        sum_ll += weighted * level;
        sum_xl += weighted * x;
      }
      trial.sum_l[slot] = sum_l;
      trial.sum_ll[slot] = sum_ll;
      trial.sum_xl[slot] = sum_xl;
    }
  }

  /// Codes of every group, kGroup bytes each.
  void codes(const Trial& trial, std::uint8_t* out) const noexcept {
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      const Decoding decoding(trial, slot);
      for (std::size_t i = 0; i < kGroup; ++i) {
        out[slot * kGroup + i] = static_cast<std::uint8_t>(decoding.level(this->values_of(slot)[i]));
      }
    }
  }

 private:
  struct Fit {
    float d, low, error;
  };
  struct Decoding {
    Decoding(float d_in, float minimum_in) : d(d_in), minimum(minimum_in), inverse(d_in > 0 ? 1 / d_in : 0) {}
    Decoding(const Trial& trial, std::size_t slot)
        : Decoding(trial.unit[slot] * trial.scale[slot], trial.unit_min[slot] * trial.minimum[slot]) {}
    float level(float x) const { return round_even(within((x + minimum) * inverse, 0, kTop)); }
    float d, minimum, inverse;
  };

  Fit fit_group(std::size_t slot) const noexcept {
    const auto x = this->values_of(slot);
    float low = kMinimumBelowZero ? std::min(0.0F, x[0]) : x[0];
    float high = x[0];
    for (std::size_t i = 1; i < kGroup; ++i) {
      low = std::min(low, x[i]);
      high = std::max(high, x[i]);
    }
    if (!(high > low)) return {0, low, 0};
    const float range = high - low;
    Fit best{range / kTop, low, std::numeric_limits<float>::infinity()};
    for (int step = -kAffineStarts.steps; step <= kAffineStarts.steps; ++step) {
      try_start(slot, (kTop + kAffineStarts.stride * static_cast<float>(step)) / range, low, best);
    }
    for (const float factor : kAffineVariations)
      try_start(slot, best.d > 0 ? factor / best.d : 0, best.low, best);
    return best;
  }

  /// Codes for a start scale and minimum, then the line that fits them best.
  void try_start(std::size_t slot, float inverse, float low, Fit& best) const noexcept {
    const auto x = this->values_of(slot);
    const auto weights = this->weights_of(slot);
    const float offset = -(inverse * low);
    float levels[kGroup];
    float sum_l = 0, sum_ll = 0, sum_xl = 0;
    for (std::size_t i = 0; i < kGroup; ++i) {
      const float level = round_even(within(inverse * x[i] + offset, 0, kTop));
      levels[i] = level;
      const float weighted = weights[i] * level;
      sum_l += weighted;
      sum_ll += weighted * level;
      sum_xl += weighted * x[i];
    }
    const float sum_w = sums_.w[slot], sum_x = sums_.x[slot];
    const float determinant = sum_w * sum_ll - sum_l * sum_l;
    if (!(determinant > 0)) return;
    Fit fit{(sum_w * sum_xl - sum_x * sum_l) / determinant, (sum_ll * sum_x - sum_l * sum_xl) / determinant,
            0};
    if (kMinimumBelowZero && fit.low > 0) fit = {sum_xl / sum_ll, 0, 0};
    for (std::size_t i = 0; i < kGroup; ++i) {
      const float difference = fit.d * levels[i] + fit.low - x[i];
      fit.error += weights[i] * (difference * difference);
    }
    if (fit.error < best.error) best = fit;
  }

  float error_of(std::size_t slot, float d, float minimum) const noexcept {
    const Decoding decoding(d, minimum);
    float error = 0;
    for (std::size_t i = 0; i < kGroup; ++i) {
      const float x = this->values_of(slot)[i];
      const float difference = d * decoding.level(x) - (x + minimum);
      error += this->weights_of(slot)[i] * (difference * difference);
    }
    return error;
  }

  GroupSums sums_;
};

/// Index of the nearest of the sixteen levels of IQ4; the upper one of two equally near.
inline std::size_t nearest_iq4(float value) noexcept {
  std::size_t index = 0;
  for (std::size_t k = 0; k + 1 < codebooks::kIq4Levels.size(); ++k) {
    const float middle = 0.5F * static_cast<float>(codebooks::kIq4Levels[k] + codebooks::kIq4Levels[k + 1]);
    if (value >= middle) index = k + 1;
  }
  return index;
}

/// y = d level(q).
template <class Shape>
class SignedGroups : public Groups<Shape> {
  using Base = Groups<Shape>;
  static constexpr std::size_t kGroup = Shape::kGroup;
  static constexpr bool kIq4 = Shape::kLevels == Levels::iq4;
  static constexpr auto kHalf = static_cast<float>(Shape::kHalf);

 public:
  using Base::Base;

  void fit(PerSlot& d) const noexcept {
    for (std::size_t slot = 0; slot < kSlots; ++slot) d[slot] = fit_group(slot);
  }

  void sweep(int radius, Trial& trial) const noexcept {
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      const float scale = trial.scale[slot];
      float best = std::numeric_limits<float>::infinity();
      for (std::size_t a = 0; a < static_cast<std::size_t>(2 * radius + 1); ++a) {
        float s = scale + kNeighbours[a];
        if (radius > 0) {
          s = std::min(std::max(s, static_cast<float>(Shape::kScaleLow)),
                       static_cast<float>(-Shape::kScaleLow - 1));
        }
        const float error = error_of(slot, trial.unit[slot] * s);
        if (!(error < best)) continue;
        best = error;
        trial.scale[slot] = s;
      }
      trial.error[slot] = best;
    }
  }

  /// Sums over the codes of every group at its scale.
  void sum_up(Trial& trial) const noexcept {
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      const float inverse = inverse_of(trial.unit[slot] * trial.scale[slot]);
      float sum_ll = 0, sum_xl = 0;
      for (std::size_t i = 0; i < kGroup; ++i) {
        const float x = this->values_of(slot)[i];
        const float l = level(x * inverse);
        const float weighted = this->weights_of(slot)[i] * l;
        sum_ll += weighted * l;
        sum_xl += weighted * x;
      }
      trial.sum_ll[slot] = sum_ll;
      trial.sum_xl[slot] = sum_xl;
    }
  }

  void codes(const Trial& trial, std::uint8_t* out) const noexcept {
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      const float inverse = inverse_of(trial.unit[slot] * trial.scale[slot]);
      for (std::size_t i = 0; i < kGroup; ++i) {
        const float value = this->values_of(slot)[i] * inverse;
        out[slot * kGroup + i] = static_cast<std::uint8_t>(kIq4 ? static_cast<int>(nearest_iq4(value))
                                                                : static_cast<int>(level(value) + kHalf));
      }
    }
  }

 private:
  struct Fit {
    float d = 0, gain = 0;  ///< gain: how much of sum w x^2 the levels explain
  };

  static float inverse_of(float d) noexcept { return d != 0 ? 1 / d : 0; }
  static float level(float value) noexcept {
    if constexpr (kIq4) return codebooks::kIq4Levels[nearest_iq4(value)];
    return round_even(within(value, -kHalf, kHalf - 1));
  }

  float fit_group(std::size_t slot) const noexcept {
    float top = 0;
    for (const float value : this->values_of(slot)) {
      if (std::fabs(value) > std::fabs(top)) top = value;
    }
    if (!(std::fabs(top) >= kZeroGroup)) return 0;
    // The largest value goes to the lowest level or, the other way round, near the highest.
    constexpr float outer = kIq4 ? 127.0F : kHalf;
    constexpr Starts starts = kSignedStarts<Shape>;
    Fit best;
    for (const float sign : {-1.0F, 1.0F}) {
      for (int step = -starts.steps; step <= starts.steps; ++step) {
        try_start(slot, sign * (outer + starts.stride * static_cast<float>(step)) / top, best);
      }
    }
    for (const float factor : kSignedVariations) try_start(slot, factor * inverse_of(best.d), best);
    return best.d;
  }

  void try_start(std::size_t slot, float inverse, Fit& best) const noexcept {
    float sum_ll = 0, sum_xl = 0;
    for (std::size_t i = 0; i < kGroup; ++i) {
      const float x = this->values_of(slot)[i];
      const float l = level(x * inverse);
      const float weighted = this->weights_of(slot)[i] * l;
      sum_ll += weighted * l;
      sum_xl += weighted * x;
    }
    if (!(sum_ll > 0)) return;
    const float d = sum_xl / sum_ll;
    const float gain = d * sum_xl;
    if (gain > best.gain) best = {d, gain};
  }

  float error_of(std::size_t slot, float d) const noexcept {
    const float inverse = inverse_of(d);
    float error = 0;
    for (std::size_t i = 0; i < kGroup; ++i) {
      const float x = this->values_of(slot)[i];
      const float difference = d * level(x * inverse) - x;
      error += this->weights_of(slot)[i] * (difference * difference);
    }
    return error;
  }
};

}  // namespace llmq::reference
