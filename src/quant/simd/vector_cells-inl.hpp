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
#include "quant/simd/weights-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace llmq::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Lanes for up to sixteen cells (kLane, Vec), and for the eight or sixteen groups of a super-block.
template <class Shape>
using GroupLane = hn::CappedTag<float, kGroupsOf<Shape>>;

template <class D>
HWY_INLINE hn::VFromD<D> round_lanes(D d, hn::VFromD<D> value) {
  const auto shift = hn::Set(d, 12582912.0F);
  return hn::Sub(hn::Add(value, shift), shift);
}
template <class D>
HWY_INLINE hn::VFromD<D> clamp_lanes(D d, hn::VFromD<D> value, float low, float high) {
  return hn::Min(hn::Max(value, hn::Set(d, low)), hn::Set(d, high));
}

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

/// Best step of groups in lanes.
template <class D>
struct StepFits {
  HWY_INLINE void offer(D d, hn::VFromD<D> cross, hn::VFromD<D> square) {
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

/// reference::plain_sums.
template <class Shape>
HWY_INLINE BlockSums block_sums(const GridValues& values, const GridState<Shape>& state, const float* x,
                                const float* weights) {
  PartialSums cross, square;
  for_partials(blocks::kSuper, [&](std::size_t i, std::size_t part) HWY_ATTR {
    const auto y = hn::Mul(set(multiple_of(state, i / Shape::kGroup)), hn::LoadU(kLane, values.data() + i));
    const auto weighted = hn::Mul(hn::LoadU(kLane, weights + i), y);
    cross.add(part, hn::Mul(weighted, hn::LoadU(kLane, x + i)));
    square.add(part, hn::Mul(weighted, y));
  });
  return {cross.sum(), square.sum()};
}

}  // namespace llmq::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
