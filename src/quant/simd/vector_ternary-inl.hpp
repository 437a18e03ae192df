// Inner loops of the search of IQ1_S and IQ1_M for vectors: see vector_cells-inl.hpp. Included once per
// instruction set. SPDX-License-Identifier: Apache-2.0
#if defined(LLMQ_VECTOR_TERNARY_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef LLMQ_VECTOR_TERNARY_INL_HPP
#undef LLMQ_VECTOR_TERNARY_INL_HPP
#else
#define LLMQ_VECTOR_TERNARY_INL_HPP
#endif

#include <limits>

#include <hwy/highway.h>

#include "quant/reference/plain_ternary.hpp"
#include "quant/simd/vector_cells-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace llmq::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// IQ1_S, IQ1_M.
template <class Shape>
class TernaryCells : public reference::TernaryCells<Shape> {
  using Base = reference::TernaryCells<Shape>;
  static constexpr std::size_t kCell = 8;

 public:
  HWY_NOINLINE TernaryCells(const float* x, const float* weights) noexcept
      : Base(x, weights), cell_x_(x), cell_w_(weights) {}

  HWY_NOINLINE void fit(std::array<float, kGroupsOf<Shape>>& steps) const noexcept {
    using D = GroupLane<Shape>;
    const D d;
    const Transposed<Shape::kGroup> x(this->x_), w(this->weights_);
    fit_groups<Shape>(x, steps, [&](hn::VFromD<D> top, int k, std::size_t part) HWY_ATTR {
      const auto step =
          hn::Mul(top, hn::Set(d, kTernaryFitFirst + kTernaryFitStride * static_cast<float>(k)));
      const auto inverse = hn::Div(hn::Set(d, 1.0F), step);
      GroupSquares<D> group{hn::Zero(d), hn::Zero(d)};
      for (std::size_t unit = 0; unit < Shape::kGroup; unit += Shape::kShiftCells * kCell) {
        FreeSums up{hn::Zero(d), hn::Zero(d)}, down = up;
        for (std::size_t e = unit; e < unit + Shape::kShiftCells * kCell; ++e) {
          const auto value = x.at(d, e, part), weight = w.at(d, e, part);
          up.add(value, weight, inverse, kIq1Shift);
          down.add(value, weight, inverse, -kIq1Shift);
        }
        const auto is_down = hn::Gt(down.explained(step), up.explained(step));
        group.cross = hn::Add(group.cross, hn::IfThenElse(is_down, down.cross, up.cross));
        group.square = hn::Add(group.square, hn::IfThenElse(is_down, down.square, up.square));
      }
      return group;
    });
  }

  HWY_NOINLINE BlockSums sums(const GridState<Shape>& state) const noexcept {
    return block_sums<Shape>(this->values_of(state), state, this->x_, this->weights_);
  }

  HWY_NOINLINE void search(CellResults& results) const noexcept {
    for (std::size_t k = 0; k < kTries; ++k) {
      typename Base::BestCodes up, down;
      for (std::size_t cell = 0; cell < kCells<Shape>; cell += hn::Lanes(kLane)) {
        const auto step = hn::LoadU(kLane, results.step[k].data() + cell);
        best_codes(cell, step, kIq1Shift, up);
        best_codes(cell, step, -kIq1Shift, down);
      }
      Base::choose_shifts(up, down, k, results);
    }
  }

 private:
  struct FreeSums {
    using D = GroupLane<Shape>;
    using V = hn::VFromD<D>;
    HWY_INLINE void add(V x, V weight, V inverse, float shift) {
      const D d;
      const auto delta = hn::Set(d, shift);
      const auto level = round_even(within(hn::Sub(hn::Mul(x, inverse), delta), -1, 1));
      const auto value = hn::Add(level, delta);
      const auto weighted = hn::Mul(weight, value);
      square = hn::Add(square, hn::Mul(weighted, value));
      cross = hn::Add(cross, hn::Mul(weighted, x));
    }
    HWY_INLINE V explained(V step) const {
      return hn::Sub(hn::Mul(hn::Set(D(), 2.0F), cross), hn::Mul(step, square));
    }
    V cross, square;
  };

  HWY_NOINLINE void best_codes(std::size_t cell, Vec step, float shift,
                               typename Base::BestCodes& codes) const {
    const hn::RebindToSigned<Lane> di;
    const auto zero = hn::Zero(kLane), one = hn::Set(kLane, 1.0F), delta = hn::Set(kLane, shift);
    const auto inverse = hn::Div(one, step);
    Vec cost[kCell];
    auto error = zero;
    auto code = hn::Zero(di);
#pragma GCC unroll 8
    for (std::size_t e = 0; e < kCell; ++e) {
      const auto x = cell_x_.at(kLane, e, cell), w = cell_w_.at(kLane, e, cell);
      const auto value = hn::Sub(hn::Mul(x, inverse), delta);
      const auto level = round_even(within(value, -1, 1));
      const auto rest = hn::Sub(x, hn::Mul(step, hn::Add(level, delta)));
      const auto is_zero = hn::Eq(level, zero);
      const auto up = hn::Gt(value, zero);
      const auto toward = hn::IfThenElse(up, one, hn::Neg(one));
      const auto move = hn::IfThenElse(is_zero, toward, hn::Neg(level));
      const auto crossing = hn::Mul(hn::Set(kLane, 2.0F), hn::Mul(move, rest));
      cost[e] = hn::Mul(w, hn::Mul(step, hn::Sub(step, crossing)));
      error = hn::Add(error, hn::Mul(w, hn::Mul(rest, rest)));
      const auto of_zero = hn::IfThenElse(hn::RebindMask(di, up), hn::Set(di, 2), hn::Set(di, 1));
      const auto of_one = hn::IfThenElseZero(hn::RebindMask(di, hn::Gt(level, zero)), hn::Set(di, 3));
      const auto bits = hn::IfThenElse(hn::RebindMask(di, is_zero), of_zero, of_one);
      code = hn::Or(code, hn::ShiftLeftSame(bits, static_cast<int>(2 * e)));
    }
    const std::int32_t* members = codebooks::iq1_members().data();
    const auto place = hn::Add(code, code);
    auto near = hn::GatherIndex(di, members, place), far = hn::GatherIndex(di, members + 1, place);
    auto best = hn::Set(kLane, std::numeric_limits<float>::infinity());
    auto flip = hn::Zero(di);
    // The next flip stands in the sign bit of `leads`.
    const auto offer = [&](auto& leads, auto price, std::size_t j) HWY_ATTR {
      const auto is_member = hn::RebindMask(kLane, hn::Lt(leads, hn::Zero(di)));
      leads = hn::Add(leads, leads);
      const auto better = hn::And(is_member, hn::Lt(price, best));
      best = hn::IfThenElse(better, price, best);
      flip = hn::IfThenElse(hn::RebindMask(di, better), hn::Set(di, codebooks::kTernaryFlips[j]), flip);
    };
    offer(near, zero, 0);
#pragma GCC unroll 8
    for (std::size_t e = 0; e < kCell; ++e) offer(near, cost[e], 1 + e);
#pragma GCC unroll 28
    for (std::size_t pair = 0; pair < codebooks::kTernaryPairs.size(); ++pair) {
      const auto [e, f] = codebooks::kTernaryPairs[pair];
      offer(far, hn::Add(cost[e], cost[f]), 9 + pair);
    }
    hn::StoreU(hn::Add(error, best), kLane, codes.error + cell);
    const hn::Rebind<std::uint16_t, decltype(di)> du16;
    hn::StoreU(hn::DemoteTo(du16, hn::Xor(code, flip)), du16, codes.code + cell);
  }

  Transposed<kCell> cell_x_, cell_w_;
};

}  // namespace llmq::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
