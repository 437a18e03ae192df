// Inner loops of the search for vectors, what both kinds share and the affine one: sixteen groups side by
// side, one in each lane, so that every lane does what reference/plain_groups.hpp does, in its order.
// Included once per instruction set. SPDX-License-Identifier: Apache-2.0
#if defined(LLMQ_VECTOR_GROUPS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef LLMQ_VECTOR_GROUPS_INL_HPP
#undef LLMQ_VECTOR_GROUPS_INL_HPP
#else
#define LLMQ_VECTOR_GROUPS_INL_HPP
#endif

#include <hwy/highway.h>

#include "quant/codebooks.hpp"
#include "quant/group_search.hpp"
#include "quant/simd/lanes-inl.hpp"
#include "quant/simd/weights-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace llmq::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Values and weights with the slots of one element side by side.
template <class Shape>
class Groups {
 public:
  static constexpr std::size_t kGroup = Shape::kGroup;

  HWY_NOINLINE Groups(const float* x, const float* weights) : by_group_(x) {
    transpose<kGroup, kSlots>(x, x_);
    transpose<kGroup, kSlots>(weights, w_);
  }

  static HWY_NOINLINE void weigh(const float* x, std::span<const float> importance, float row_mean_square,
                                 float* weights) noexcept {
    simd::HWY_NAMESPACE::weigh<kGroup, kBlockElems<Shape>>(Shape::kObjective, x, importance, row_mean_square,
                                                           weights);
  }

 protected:
  HWY_INLINE Vec x_at(std::size_t i, std::size_t slot) const {
    return hn::Load(kLane, x_ + i * kSlots + slot);
  }
  HWY_INLINE Vec w(std::size_t i, std::size_t slot) const { return hn::Load(kLane, w_ + i * kSlots + slot); }
  /// Elements i.. of one group.
  HWY_INLINE Vec elements(std::size_t slot, std::size_t i) const {
    return hn::LoadU(kLane, by_group_ + slot * kGroup + i);
  }
  static HWY_INLINE Vec load(const PerSlot& values, std::size_t slot) {
    return hn::LoadU(kLane, values.data() + slot);
  }
  static HWY_INLINE void store(Vec value, PerSlot& values, std::size_t slot) {
    hn::StoreU(value, kLane, values.data() + slot);
  }
  /// Non-negative whole numbers below 256 as bytes.
  static HWY_INLINE void store_codes(Vec value, std::uint8_t* out) {
    const hn::RebindToSigned<Lane> di;
    const hn::Rebind<std::uint8_t, Lane> du8;
    hn::StoreU(hn::DemoteTo(du8, hn::ConvertTo(di, value)), du8, out);
  }

 private:
  const float* by_group_;
  alignas(64) float x_[kSlots * kGroup];
  alignas(64) float w_[kSlots * kGroup];
};

template <class Shape>
class AffineGroups : public Groups<Shape> {
  using Base = Groups<Shape>;
  static constexpr std::size_t kGroup = Shape::kGroup;
  static constexpr auto kTop = static_cast<float>(Shape::kTop);
  static constexpr bool kMinimumBelowZero = Shape::kGroups > 1;

 public:
  HWY_NOINLINE AffineGroups(const float* x, const float* weights) : Base(x, weights) {
    for (std::size_t slot = 0; slot < kSlots; slot += hn::Lanes(kLane)) {
      auto sum_w = hn::Zero(kLane), sum_x = hn::Zero(kLane);
      for (std::size_t i = 0; i < kGroup; ++i) {
        sum_w = hn::Add(sum_w, this->w(i, slot));
        sum_x = hn::Add(sum_x, hn::Mul(this->w(i, slot), this->x_at(i, slot)));
      }
      Base::store(sum_w, sums_.w, slot);
      Base::store(sum_x, sums_.x, slot);
    }
  }
  const GroupSums& sums() const noexcept { return sums_; }

  HWY_NOINLINE void fit(PerSlot& d, PerSlot& minimum) const noexcept {
    for (std::size_t slot = 0; slot < kSlots; slot += hn::Lanes(kLane)) {
      const Fit found = fit_groups(slot);
      Base::store(found.d, d, slot);
      Base::store(hn::Neg(found.low), minimum, slot);
    }
  }

  HWY_NOINLINE void sweep(int radius, Trial& trial) const noexcept {
    for (std::size_t slot = 0; slot < kSlots; slot += hn::Lanes(kLane)) {
      if (radius > 0) {
        sweep_groups(slot, trial);
      } else {
        const auto d = hn::Mul(Base::load(trial.unit, slot), Base::load(trial.scale, slot));
        const auto minimum = hn::Mul(Base::load(trial.unit_min, slot), Base::load(trial.minimum, slot));
        Base::store(error_of(slot, d, minimum), trial.error, slot);
      }
    }
  }

  HWY_NOINLINE void sum_up(Trial& trial) const noexcept {
    for (std::size_t slot = 0; slot < kSlots; slot += hn::Lanes(kLane)) {
      const Decoding decoding(trial, slot);
      auto sum_l = hn::Zero(kLane), sum_ll = hn::Zero(kLane), sum_xl = hn::Zero(kLane);
      for (std::size_t i = 0; i < kGroup; ++i) {
        const auto x = this->x_at(i, slot);
        const auto level = decoding.level(x);
        const auto weighted = hn::Mul(this->w(i, slot), level);
        sum_l = hn::Add(sum_l, weighted);
        sum_ll = hn::Add(sum_ll, hn::Mul(weighted, level));
        sum_xl = hn::Add(sum_xl, hn::Mul(weighted, x));
      }
      Base::store(sum_l, trial.sum_l, slot);
      Base::store(sum_ll, trial.sum_ll, slot);
      Base::store(sum_xl, trial.sum_xl, slot);
    }
  }

  HWY_NOINLINE void codes(const Trial& trial, std::uint8_t* out) const noexcept {
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      const Decoding decoding(set(trial.unit[slot] * trial.scale[slot]),
                              set(trial.unit_min[slot] * trial.minimum[slot]));
      for (std::size_t i = 0; i < kGroup; i += hn::Lanes(kLane)) {
        Base::store_codes(decoding.level(Base::elements(slot, i)), out + slot * kGroup + i);
      }
    }
  }

 private:
  struct Fit {
    Vec d, low, error;
  };
  struct Decoding {
    HWY_INLINE Decoding(Vec d_in, Vec minimum_in)
        : d(d_in),
          minimum(minimum_in),
          inverse(hn::IfThenElseZero(hn::Gt(d_in, hn::Zero(kLane)), hn::Div(set(1), d_in))) {}
    HWY_INLINE Decoding(const Trial& trial, std::size_t slot)
        : Decoding(hn::Mul(Base::load(trial.unit, slot), Base::load(trial.scale, slot)),
                   hn::Mul(Base::load(trial.unit_min, slot), Base::load(trial.minimum, slot))) {}
    HWY_INLINE Vec level(Vec x) const { return level_of_shifted(hn::Add(x, minimum)); }
    HWY_INLINE Vec level_of_shifted(Vec shifted) const {
      return round_even(within(hn::Mul(shifted, inverse), 0, kTop));
    }
    Vec d, minimum, inverse;
  };

  HWY_INLINE Fit fit_groups(std::size_t slot) const {
    auto low = kMinimumBelowZero ? hn::Min(hn::Zero(kLane), this->x_at(0, slot)) : this->x_at(0, slot);
    auto high = this->x_at(0, slot);
    for (std::size_t i = 1; i < kGroup; ++i) {
      low = hn::Min(low, this->x_at(i, slot));
      high = hn::Max(high, this->x_at(i, slot));
    }
    const auto spread = hn::Gt(high, low);
    const auto range = hn::Sub(high, low);
    const auto infinity = set(std::numeric_limits<float>::infinity());
    Fit best{hn::IfThenElseZero(spread, hn::Div(range, set(kTop))), low,
             hn::IfThenElseZero(spread, infinity)};
    for (int step = -kAffineStarts.steps; step <= kAffineStarts.steps; ++step) {
      try_start(slot, hn::Div(set(kTop + kAffineStarts.stride * static_cast<float>(step)), range), low, best);
    }
    for (const float factor : kAffineVariations) {
      const auto inverse = hn::IfThenElseZero(hn::Gt(best.d, hn::Zero(kLane)), hn::Div(set(factor), best.d));
      try_start(slot, inverse, best.low, best);
    }
    return best;
  }

  HWY_INLINE void try_start(std::size_t slot, Vec inverse, Vec low, Fit& best) const {
    const auto offset = hn::Neg(hn::Mul(inverse, low));
    alignas(64) float levels[kGroup * kSlots];
    auto sum_l = hn::Zero(kLane), sum_ll = hn::Zero(kLane), sum_xl = hn::Zero(kLane);
    for (std::size_t i = 0; i < kGroup; ++i) {
      const auto x = this->x_at(i, slot);
      const auto level = round_even(within(hn::Add(hn::Mul(inverse, x), offset), 0, kTop));
      hn::Store(level, kLane, levels + i * kSlots);
      const auto weighted = hn::Mul(this->w(i, slot), level);
      sum_l = hn::Add(sum_l, weighted);
      sum_ll = hn::Add(sum_ll, hn::Mul(weighted, level));
      sum_xl = hn::Add(sum_xl, hn::Mul(weighted, x));
    }
    const auto sum_w = Base::load(sums_.w, slot), sum_x = Base::load(sums_.x, slot);
    const auto determinant = hn::Sub(hn::Mul(sum_w, sum_ll), hn::Mul(sum_l, sum_l));
    const auto determined = hn::Gt(determinant, hn::Zero(kLane));
    auto d = hn::Div(hn::Sub(hn::Mul(sum_w, sum_xl), hn::Mul(sum_x, sum_l)), determinant);
    auto fit_low = hn::Div(hn::Sub(hn::Mul(sum_ll, sum_x), hn::Mul(sum_l, sum_xl)), determinant);
    if constexpr (kMinimumBelowZero) {
      const auto above = hn::Gt(fit_low, hn::Zero(kLane));
      d = hn::IfThenElse(above, hn::Div(sum_xl, sum_ll), d);
      fit_low = hn::IfThenZeroElse(above, fit_low);
    }
    auto error = hn::Zero(kLane);
    for (std::size_t i = 0; i < kGroup; ++i) {
      const auto level = hn::Load(kLane, levels + i * kSlots);
      const auto difference = hn::Sub(hn::Add(hn::Mul(d, level), fit_low), this->x_at(i, slot));
      error = hn::Add(error, hn::Mul(this->w(i, slot), hn::Mul(difference, difference)));
    }
    const auto better = hn::And(determined, hn::Lt(error, best.error));
    best.d = hn::IfThenElse(better, d, best.d);
    best.low = hn::IfThenElse(better, fit_low, best.low);
    best.error = hn::IfThenElse(better, error, best.error);
  }

  HWY_INLINE void sweep_groups(std::size_t slot, Trial& trial) const {
    const auto unit = Base::load(trial.unit, slot), unit_min = Base::load(trial.unit_min, slot);
    const auto scale = Base::load(trial.scale, slot), minimum = Base::load(trial.minimum, slot);
    auto best = set(std::numeric_limits<float>::infinity());
    auto best_scale = scale, best_minimum = minimum;
    for (std::size_t a = 0; a < 3; ++a) {
      const auto s = within(hn::Add(scale, set(kNeighbours[a])), 0, Shape::kScaleTop);
      for (std::size_t b = 0; b < 3; ++b) {
        const auto m = within(hn::Add(minimum, set(kNeighbours[b])), 0, Shape::kMinTop);
        const auto error = error_of(slot, hn::Mul(unit, s), hn::Mul(unit_min, m));
        const auto better = hn::Lt(error, best);
        best = hn::IfThenElse(better, error, best);
        best_scale = hn::IfThenElse(better, s, best_scale);
        best_minimum = hn::IfThenElse(better, m, best_minimum);
      }
    }
    Base::store(best_scale, trial.scale, slot);
    Base::store(best_minimum, trial.minimum, slot);
    Base::store(best, trial.error, slot);
  }

  HWY_INLINE Vec error_of(std::size_t slot, Vec d, Vec minimum) const {
    const Decoding decoding(d, minimum);
    auto error = hn::Zero(kLane);
    for (std::size_t i = 0; i < kGroup; ++i) {
      const auto shifted = hn::Add(this->x_at(i, slot), minimum);
      const auto difference = hn::Sub(hn::Mul(d, decoding.level_of_shifted(shifted)), shifted);
      error = hn::Add(error, hn::Mul(this->w(i, slot), hn::Mul(difference, difference)));
    }
    return error;
  }

  GroupSums sums_;
};

}  // namespace llmq::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
