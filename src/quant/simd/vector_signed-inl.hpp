// Inner loops of the search for vectors, signed levels: see vector_groups-inl.hpp. Included once per
// instruction set. SPDX-License-Identifier: Apache-2.0
#if defined(LLMQ_VECTOR_SIGNED_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef LLMQ_VECTOR_SIGNED_INL_HPP
#undef LLMQ_VECTOR_SIGNED_INL_HPP
#else
#define LLMQ_VECTOR_SIGNED_INL_HPP
#endif

#include <hwy/highway.h>

#include "quant/simd/vector_groups-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace llmq::simd::HWY_NAMESPACE {

// Nearest of the sixteen levels of IQ4, the upper one of two equally near. Levels and indices come as floats.

struct Nearest {
  Vec level, index;
};

#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SSE4 || \
    HWY_TARGET == HWY_SSSE3 || HWY_TARGET == HWY_SSE2 || HWY_TARGET == HWY_NEON
/// Counts the middles between levels that are not above.
HWY_INLINE Nearest nearest_iq4(Vec value) {
  Nearest nearest{set(codebooks::kIq4Levels[0]), hn::Zero(kLane)};
  for (std::size_t k = 0; k + 1 < 16; ++k) {
    const float middle = 0.5F * static_cast<float>(codebooks::kIq4Levels[k] + codebooks::kIq4Levels[k + 1]);
    const auto above = hn::Ge(value, set(middle));
    nearest.level = hn::IfThenElse(above, set(codebooks::kIq4Levels[k + 1]), nearest.level);
    nearest.index = hn::IfThenElse(above, set(static_cast<float>(k + 1)), nearest.index);
  }
  return nearest;
}
#else
/// Binary search; tables of eight lanes are looked up in registers.
class Iq4Search {
 public:
  HWY_INLINE Nearest operator()(Vec value) const {
    const hn::RebindToSigned<Lane> di;
    const auto one = hn::Set(di, 1);
    const auto step = [&](auto index, auto middles) {
      const auto above = hn::RebindMask(di, hn::Ge(value, middles));
      const auto twice = hn::Add(index, index);
      return hn::IfThenElse(above, hn::Add(twice, one), twice);
    };
    auto index = step(hn::Zero(di), set(kMiddle[7]));
    index = step(index, table({kMiddle[3], kMiddle[11], 0, 0, 0, 0, 0, 0}, index));
    index = step(index, table({kMiddle[1], kMiddle[5], kMiddle[9], kMiddle[13], 0, 0, 0, 0}, index));
    const auto last = hn::Ge(value, table({kMiddle[0], kMiddle[2], kMiddle[4], kMiddle[6], kMiddle[8],
                                           kMiddle[10], kMiddle[12], kMiddle[14]},
                                          index));
    const auto low = table({-127, -83, -49, -22, 1, 25, 53, 89}, index);
    const auto high = table({-104, -65, -35, -10, 13, 38, 69, 113}, index);
    const auto even = hn::ConvertTo(kLane, hn::Add(index, index));
    return {hn::IfThenElse(last, high, low), hn::IfThenElse(last, hn::Add(even, set(1)), even)};
  }

 private:
  using Eight = std::array<float, 8>;
  static constexpr std::array<float, 15> kMiddle = {-115.5F, -93.5F, -74,   -57,   -42, -28.5F, -16, -4.5F,
                                                    7,       19,     31.5F, 45.5F, 61,  79,     101};
  template <class Index>
  static HWY_INLINE Vec table(const Eight& values, Index index) {
    alignas(64) float twice[16];
    for (std::size_t i = 0; i < 16; ++i) twice[i] = values[i % 8];
    return hn::TableLookupLanes(hn::Load(kLane, twice), hn::IndicesFromVec(kLane, index));
  }
};
HWY_INLINE Nearest nearest_iq4(Vec value) { return Iq4Search()(value); }
#endif

template <class Shape>
class SignedGroups : public Groups<Shape> {
  using Base = Groups<Shape>;
  static constexpr std::size_t kGroup = Shape::kGroup;
  static constexpr bool kIq4 = Shape::kLevels == Levels::iq4;
  static constexpr auto kHalf = static_cast<float>(Shape::kHalf);

 public:
  using Base::Base;

  HWY_NOINLINE void fit(PerSlot& d) const noexcept {
    for (std::size_t slot = 0; slot < kSlots; slot += hn::Lanes(kLane))
      Base::store(fit_groups(slot), d, slot);
  }

  HWY_NOINLINE void sweep(int radius, Trial& trial) const noexcept {
    for (std::size_t slot = 0; slot < kSlots; slot += hn::Lanes(kLane)) {
      const auto unit = Base::load(trial.unit, slot), scale = Base::load(trial.scale, slot);
      auto best = set(std::numeric_limits<float>::infinity());
      auto best_scale = scale;
      for (std::size_t a = 0; a < static_cast<std::size_t>(2 * radius + 1); ++a) {
        auto s = hn::Add(scale, set(kNeighbours[a]));
        if (radius > 0) s = within(s, Shape::kScaleLow, -Shape::kScaleLow - 1);
        const auto error = error_of(slot, hn::Mul(unit, s));
        const auto better = hn::Lt(error, best);
        best = hn::IfThenElse(better, error, best);
        best_scale = hn::IfThenElse(better, s, best_scale);
      }
      Base::store(best_scale, trial.scale, slot);
      Base::store(best, trial.error, slot);
    }
  }

  HWY_NOINLINE void sum_up(Trial& trial) const noexcept {
    for (std::size_t slot = 0; slot < kSlots; slot += hn::Lanes(kLane)) {
      const auto inverse = inverse_of(trial, slot);
      auto sum_ll = hn::Zero(kLane), sum_xl = hn::Zero(kLane);
      for (std::size_t i = 0; i < kGroup; ++i) {
        const auto x = this->x_at(i, slot);
        const auto l = level(hn::Mul(x, inverse));
        const auto weighted = hn::Mul(this->w(i, slot), l);
        sum_ll = hn::Add(sum_ll, hn::Mul(weighted, l));
        sum_xl = hn::Add(sum_xl, hn::Mul(weighted, x));
      }
      Base::store(sum_ll, trial.sum_ll, slot);
      Base::store(sum_xl, trial.sum_xl, slot);
    }
  }

  HWY_NOINLINE void codes(const Trial& trial, std::uint8_t* out) const noexcept {
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      const auto inverse = inverse_of(set(trial.unit[slot] * trial.scale[slot]));
      for (std::size_t i = 0; i < kGroup; i += hn::Lanes(kLane)) {
        const auto value = hn::Mul(Base::elements(slot, i), inverse);
        Vec code;
        if constexpr (kIq4) {
          code = nearest_iq4(value).index;
        } else {
          code = hn::Add(level(value), set(kHalf));
        }
        Base::store_codes(code, out + slot * kGroup + i);
      }
    }
  }

 private:
  struct Fit {
    Vec d, gain;
  };

  static HWY_INLINE Vec inverse_of(Vec d) {
    return hn::IfThenElseZero(hn::Ne(d, hn::Zero(kLane)), hn::Div(set(1), d));
  }
  static HWY_INLINE Vec inverse_of(const Trial& trial, std::size_t slot) {
    return inverse_of(hn::Mul(Base::load(trial.unit, slot), Base::load(trial.scale, slot)));
  }
  static HWY_INLINE Vec level(Vec value) {
    if constexpr (kIq4) {
      return nearest_iq4(value).level;
    } else {
      return round_even(within(value, -kHalf, kHalf - 1));
    }
  }

  HWY_INLINE Vec fit_groups(std::size_t slot) const {
    auto top = hn::Zero(kLane);
    for (std::size_t i = 0; i < kGroup; ++i) {
      const auto x = this->x_at(i, slot);
      top = hn::IfThenElse(hn::Gt(hn::Abs(x), hn::Abs(top)), x, top);
    }
    constexpr float outer = kIq4 ? 127.0F : kHalf;
    constexpr Starts starts = kSignedStarts<Shape>;
    Fit best{hn::Zero(kLane), hn::Zero(kLane)};
    for (const float sign : {-1.0F, 1.0F}) {
      for (int step = -starts.steps; step <= starts.steps; ++step) {
        try_start(slot, hn::Div(set(sign * (outer + starts.stride * static_cast<float>(step))), top), best);
      }
    }
    for (const float factor : kSignedVariations)
      try_start(slot, hn::Mul(set(factor), inverse_of(best.d)), best);
    return hn::IfThenElseZero(hn::Ge(hn::Abs(top), set(kZeroGroup)), best.d);
  }

  HWY_INLINE void try_start(std::size_t slot, Vec inverse, Fit& best) const {
    auto sum_ll = hn::Zero(kLane), sum_xl = hn::Zero(kLane);
    for (std::size_t i = 0; i < kGroup; ++i) {
      const auto x = this->x_at(i, slot);
      const auto l = level(hn::Mul(x, inverse));
      const auto weighted = hn::Mul(this->w(i, slot), l);
      sum_ll = hn::Add(sum_ll, hn::Mul(weighted, l));
      sum_xl = hn::Add(sum_xl, hn::Mul(weighted, x));
    }
    const auto d = hn::Div(sum_xl, sum_ll);
    const auto gain = hn::Mul(d, sum_xl);
    const auto better = hn::And(hn::Gt(sum_ll, hn::Zero(kLane)), hn::Gt(gain, best.gain));
    best.d = hn::IfThenElse(better, d, best.d);
    best.gain = hn::IfThenElse(better, gain, best.gain);
  }

  HWY_INLINE Vec error_of(std::size_t slot, Vec d) const {
    const auto inverse = inverse_of(d);
    auto error = hn::Zero(kLane);
    for (std::size_t i = 0; i < kGroup; ++i) {
      const auto x = this->x_at(i, slot);
      const auto difference = hn::Sub(hn::Mul(d, level(hn::Mul(x, inverse))), x);
      error = hn::Add(error, hn::Mul(this->w(i, slot), hn::Mul(difference, difference)));
    }
    return error;
  }
};

}  // namespace llmq::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
