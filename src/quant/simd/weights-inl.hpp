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

/// Values that are added up in the order of tree_sum.
class PartialSums {
 public:
  HWY_INLINE PartialSums() {
    for (auto& part : parts_) part = hn::Zero(kLane);
  }
  HWY_INLINE void add(std::size_t i, Vec value) {
    Vec& part = parts_[i / kLanes % kParts];
    part = hn::Add(part, value);
  }
  HWY_INLINE float sum() const {
    std::array<float, kPartialSums> all;
    for (std::size_t part = 0; part < kParts; ++part) {
      hn::StoreU(parts_[part], kLane, all.data() + part * kLanes);
    }
    return tree_sum(all);
  }

 private:
  static constexpr std::size_t kParts = kPartialSums / kLanes;
  Vec parts_[kParts];
};

/// mean_square of objective.hpp.
HWY_INLINE float mean_square_of(const float* x, std::size_t count) {
  PartialSums squares;
  for (std::size_t i = 0; i < count; i += kLanes) {
    const auto value = hn::LoadU(kLane, x + i);
    squares.add(i, hn::Mul(value, value));
  }
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
