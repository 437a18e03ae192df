// What the vector encoders are made of: lanes, rounding, columns of rows, sums in the order of tree_sum.
// Included once per instruction set. SPDX-License-Identifier: Apache-2.0
#if defined(LLMQ_LANES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef LLMQ_LANES_INL_HPP
#undef LLMQ_LANES_INL_HPP
#else
#define LLMQ_LANES_INL_HPP
#endif

#include <cstddef>

#include <hwy/highway.h>

#include "quant/objective.hpp"

HWY_BEFORE_NAMESPACE();
namespace llmq::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Up to sixteen lanes: sixteen partial sums, or sixteen slots, are 16 / lanes vectors.
using Lane = hn::CappedTag<float, kPartialSums>;
using Vec = hn::VFromD<Lane>;
inline constexpr Lane kLane;
inline constexpr std::size_t kLanes = hn::MaxLanes(Lane());

HWY_INLINE Vec set(float value) { return hn::Set(kLane, value); }
template <class V>
HWY_INLINE V round_even(V value) {
  const auto shift = hn::Set(hn::DFromV<V>(), 12582912.0F);
  return hn::Sub(hn::Add(value, shift), shift);
}
template <class V>
HWY_INLINE V within(V value, float low, float high) {
  const hn::DFromV<V> d;
  return hn::Min(hn::Max(value, hn::Set(d, low)), hn::Set(d, high));
}

/// `Parts` rows of `Elems` values into the columns of `to`: element e of part p goes to e Parts + p. Four
/// rows of four at a time where a vector holds them.
template <std::size_t Elems, std::size_t Parts>
HWY_INLINE void transpose(const float* from, float* to) {
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t part = 0; part < Parts; ++part) {
    for (std::size_t e = 0; e < Elems; ++e) to[e * Parts + part] = from[part * Elems + e];
  }
#else
  static_assert(Elems % 4 == 0 && Parts % 4 == 0);
  const hn::FixedTag<float, 4> four;
  for (std::size_t part = 0; part < Parts; part += 4) {
    for (std::size_t e = 0; e < Elems; e += 4) {
      const auto row = [&](std::size_t r) HWY_ATTR { return hn::LoadU(four, from + (part + r) * Elems + e); };
      const auto low01 = hn::InterleaveLower(four, row(0), row(1));
      const auto low23 = hn::InterleaveLower(four, row(2), row(3));
      const auto high01 = hn::InterleaveUpper(four, row(0), row(1));
      const auto high23 = hn::InterleaveUpper(four, row(2), row(3));
      float* column = to + e * Parts + part;
      hn::StoreU(hn::ConcatLowerLower(four, low23, low01), four, column);
      hn::StoreU(hn::ConcatUpperUpper(four, low23, low01), four, column + Parts);
      hn::StoreU(hn::ConcatLowerLower(four, high23, high01), four, column + 2 * Parts);
      hn::StoreU(hn::ConcatUpperUpper(four, high23, high01), four, column + 3 * Parts);
    }
  }
#endif
}

/// Values that are added up in the order of tree_sum; see for_partials.
class PartialSums {
 public:
  static constexpr std::size_t kParts = kPartialSums / kLanes;

  HWY_INLINE PartialSums() {
    for (auto& part : parts_) part = hn::Zero(kLane);
  }
  HWY_INLINE void add(std::size_t part, Vec value) { parts_[part] = hn::Add(parts_[part], value); }
  HWY_INLINE float sum() const {
    Vec parts[kParts];
    for (std::size_t part = 0; part < kParts; ++part) parts[part] = parts_[part];
    for (std::size_t half = kParts / 2; half > 0; half /= 2) {
      for (std::size_t part = 0; part < half; ++part) parts[part] = hn::Add(parts[part], parts[part + half]);
    }
    return sum_of_lanes(kLane, parts[0]);
  }

 private:
  /// Halves are added until one lane is left.
  template <class D>
  static HWY_INLINE float sum_of_lanes(D, hn::VFromD<D> lanes) {
#if HWY_TARGET == HWY_SCALAR
    return hn::GetLane(lanes);
#else
    if constexpr (hn::MaxLanes(D()) > 4) {
      const hn::Half<D> half;
      return sum_of_lanes(half, hn::Add(hn::LowerHalf(half, lanes), hn::UpperHalf(half, lanes)));
    } else {
      const auto pairs = hn::Add(lanes, hn::Shuffle1032(lanes));
      return hn::GetLane(hn::Add(pairs, hn::Shuffle2301(pairs)));
    }
#endif
  }

  Vec parts_[kParts];
};
/// Calls step(i, part) for every vector of `count` values: where it begins, and the partial sums it belongs
/// to. The compiler knows their number, so that they stay in registers.
template <class Step>
HWY_INLINE void for_partials(std::size_t count, const Step& step) {
  for (std::size_t i = 0; i < count; i += kPartialSums) {
    for (std::size_t part = 0; part < PartialSums::kParts; ++part) step(i + part * kLanes, part);
  }
}

}  // namespace llmq::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
