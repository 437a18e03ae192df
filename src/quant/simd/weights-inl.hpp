// Weights of the objective (quant/objective.hpp) for vectors. Included once per instruction set.
// SPDX-License-Identifier: Apache-2.0
#if defined(LLMQ_WEIGHTS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef LLMQ_WEIGHTS_INL_HPP
#undef LLMQ_WEIGHTS_INL_HPP
#else
#define LLMQ_WEIGHTS_INL_HPP
#endif

#include <algorithm>
#include <span>

#include <hwy/highway.h>

#include "quant/objective.hpp"
#include "quant/simd/lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace llmq::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

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
