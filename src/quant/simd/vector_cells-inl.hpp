// What the inner loops of the grid types share for vectors: cells side by side in lanes, each lane doing what
// the classes of reference/ do, in their order. Included once per instruction set.
// SPDX-License-Identifier: Apache-2.0
#if defined(LLMQ_VECTOR_CELLS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef LLMQ_VECTOR_CELLS_INL_HPP
#undef LLMQ_VECTOR_CELLS_INL_HPP
#else
#define LLMQ_VECTOR_CELLS_INL_HPP
#endif

#include <hwy/highway.h>

#include "quant/grid_search.hpp"
#include "quant/reference/plain_cells.hpp"
#include "quant/simd/lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace llmq::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Lanes for up to sixteen cells (kLane, Vec), and for the eight or sixteen groups of a super-block.
template <class Shape>
using GroupLane = hn::CappedTag<float, kGroupsOf<Shape>>;

/// Values or weights of a super-block, element by element of the parts (cells or groups) side by side.
template <std::size_t Part>
struct alignas(64) Transposed {
  static constexpr std::size_t kParts = blocks::kSuper / Part;
  HWY_INLINE explicit Transposed(const float* from) { transpose<Part, kParts>(from, values); }
  template <class D>
  HWY_INLINE hn::VFromD<D> at(D d, std::size_t e, std::size_t part) const {
    return hn::LoadU(d, values + e * kParts + part);
  }
  float values[blocks::kSuper];
};

/// Sums of w x y and w y y of groups in lanes.
template <class D>
struct GroupSquares {
  hn::VFromD<D> cross, square;
};

/// Best step of groups in lanes: reference::StepFit.
template <class D>
struct StepFits {
  HWY_INLINE void offer(D d, const GroupSquares<D>& sums) {
    const auto cross = sums.cross, square = sums.square;
    const auto zero = hn::Zero(d);
    const auto fitted = hn::Div(cross, square);
    const auto explained = hn::Mul(fitted, cross);
    const auto better = hn::And(hn::And(hn::Gt(square, zero), hn::Gt(cross, zero)), hn::Gt(explained, gain));
    step = hn::IfThenElse(better, fitted, step);
    gain = hn::IfThenElse(better, explained, gain);
  }
  hn::VFromD<D> step, gain;
};

template <class D, std::size_t Group>
HWY_INLINE hn::VFromD<D> largest_magnitude(D d, const Transposed<Group>& x, std::size_t part) {
  auto top = hn::Zero(d);
  for (std::size_t e = 0; e < Group; ++e) top = hn::Max(top, hn::Abs(x.at(d, e, part)));
  return top;
}

/// reference::fit_groups. @param sums_at  (largest magnitudes, k, first group) to the sums at the k-th trial
/// step
template <class Shape, class SumsAt>
HWY_INLINE void fit_groups(const Transposed<Shape::kGroup>& x, std::array<float, kGroupsOf<Shape>>& steps,
                           const SumsAt& sums_at) {
  const GroupLane<Shape> d;
  for (std::size_t part = 0; part < steps.size(); part += hn::Lanes(d)) {
    const auto top = largest_magnitude(d, x, part);
    StepFits<GroupLane<Shape>> best{hn::Zero(d), hn::Zero(d)};
    for (int k = 0; k < kFits; ++k) best.offer(d, sums_at(top, k, part));
    const auto found = hn::IfThenElseZero(hn::Ge(top, hn::Set(d, kZeroGroup)), best.step);
    hn::StoreU(found, d, steps.data() + part);
  }
}

/// reference::plain_sums.
template <class Shape>
HWY_INLINE BlockSums block_sums(const GridValues& values, const GridState<Shape>& state, const float* x,
                                const float* weights) {
  PartialSums cross, square;
  for_partials(blocks::kSuper, [&](std::size_t i, std::size_t part) HWY_ATTR {
    const auto multiple = set(multiple_of<Shape>(state.scale[i / Shape::kGroup]));
    const auto y = hn::Mul(multiple, hn::LoadU(kLane, values.data() + i));
    const auto weighted = hn::Mul(hn::LoadU(kLane, weights + i), y);
    cross.add(part, hn::Mul(weighted, hn::LoadU(kLane, x + i)));
    square.add(part, hn::Mul(weighted, y));
  });
  return {cross.sum(), square.sum()};
}

}  // namespace llmq::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
