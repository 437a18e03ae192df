// Weights of the objective (quant/objective.hpp) for vectors, and sums in the order of tree_sum. Included
// once per instruction set. SPDX-License-Identifier: Apache-2.0
#if defined(LLMQ_WEIGHTS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef LLMQ_WEIGHTS_INL_HPP
#undef LLMQ_WEIGHTS_INL_HPP
#else
#define LLMQ_WEIGHTS_INL_HPP
#endif

#include <algorithm>
#include <array>
#include <span>

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
HWY_INLINE Vec round_even(Vec value) {
  const auto shift = set(12582912.0F);
  return hn::Sub(hn::Add(value, shift), shift);
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

/// Values that are added up in the order of tree_sum: for_partials calls with the index of a vector of values
/// and the number of the partial sums it belongs to, which the compiler knows, so that they stay in
/// registers.
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
template <class Step>
HWY_INLINE void for_partials(std::size_t count, const Step& step) {
  for (std::size_t i = 0; i < count; i += kPartialSums) {
    for (std::size_t part = 0; part < PartialSums::kParts; ++part) step(i + part * kLanes, part);
  }
}

/// mean_square of objective.hpp.
HWY_INLINE float mean_square_of(const float* x, std::size_t count) {
  PartialSums squares;
  for_partials(count, [&](std::size_t i, std::size_t part) HWY_ATTR {
    const auto value = hn::LoadU(kLane, x + i);
    squares.add(part, hn::Mul(value, value));
  });
  return squares.sum() / static_cast<float>(count);
}

/// weigh_block of objective.hpp. Without importance it is that function: nothing there is hot.
template <std::size_t Group, std::size_t Elems>
HWY_INLINE void weigh(const Objective& objective, const float* x, std::span<const float> importance,
                      float row_mean_square, float* weights) {
  if (importance.empty())
    return weigh_block<Group, Elems>(objective, x, importance, row_mean_square, weights);
  float sigma2 = row_mean_square;
  if (objective.spread == Spread::super_block || objective.spread == Spread::group) {
    sigma2 = mean_square_of(x, Elems);
  }
  const auto spread = set(objective.factor * sigma2), largest = set(kLargestWeight);
  for (std::size_t first = 0; first < Elems; first += Group) {
    auto top = hn::Zero(kLane);
    for (std::size_t i = first; i < first + Group; i += kLanes) {
      auto weight = hn::LoadU(kLane, importance.data() + i);
      if (objective.spread != Spread::none) {
        const auto value = hn::LoadU(kLane, x + i);
        weight = hn::Mul(weight, hn::Sqrt(hn::Min(hn::Add(spread, hn::Mul(value, value)), largest)));
      }
      weight = hn::Min(weight, largest);
      hn::StoreU(weight, kLane, weights + i);
      top = hn::Max(top, weight);
    }
    if (hn::GetLane(hn::MaxOfLanes(kLane, top)) > 0) continue;
    std::fill_n(weights + first, Group, 1.0F);
  }
}

}  // namespace llmq::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
