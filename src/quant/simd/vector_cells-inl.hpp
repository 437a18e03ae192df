// Inner loops of the search of the grid types for vectors: cells side by side in lanes, each lane doing what
// reference/plain_cells.hpp does, in its order. Included once per instruction set.
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

HWY_BEFORE_NAMESPACE();
namespace llmq::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Lanes for up to sixteen cells, and for the eight or sixteen groups of a super-block.
using CellLane = hn::CappedTag<float, 16>;
using CellVec = hn::VFromD<CellLane>;
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
  HWY_INLINE explicit Transposed(const float* from) {
    for (std::size_t part = 0; part < kParts; ++part) {
      for (std::size_t e = 0; e < Part; ++e) values[e * kParts + part] = from[part * Part + e];
    }
  }
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

template <class Shape, class D>
HWY_INLINE hn::VFromD<D> nearest_magnitude(D d, hn::VFromD<D> value) {
  if constexpr (Shape::kLevels.size() == 3) {
    const auto low = hn::IfThenElse(hn::Ge(value, hn::Set(d, 16.5F)), hn::Set(d, 25.0F), hn::Set(d, 8.0F));
    return hn::IfThenElse(hn::Ge(value, hn::Set(d, 34.0F)), hn::Set(d, 43.0F), low);
  } else if constexpr (Shape::kLevels[7] == 15) {
    const auto half = hn::Mul(hn::Sub(value, hn::Set(d, 1.0F)), hn::Set(d, 0.5F));
    return hn::Add(hn::Set(d, 1.0F), hn::Mul(hn::Set(d, 2.0F), round_lanes(d, clamp_lanes(d, half, 0, 7))));
  } else {
    const auto part = hn::Mul(hn::Sub(value, hn::Set(d, 4.0F)), hn::Set(d, 0.125F));
    const auto even =
        hn::Add(hn::Set(d, 4.0F), hn::Mul(hn::Set(d, 8.0F), round_lanes(d, clamp_lanes(d, part, 0, 6))));
    return hn::IfThenElse(hn::Ge(value, hn::Set(d, 57.0F)), hn::Set(d, 62.0F), even);
  }
}

/// IQ2_*, IQ3_*. Signs, sums of chosen codewords: as the reference, whose class is the base.
template <class Shape>
class MagnitudeCells : public reference::MagnitudeCells<Shape> {
  using Base = reference::MagnitudeCells<Shape>;
  static constexpr std::size_t kCell = Shape::kCell;
  static constexpr std::size_t kHalf = kCell / 2;
  static constexpr std::size_t kLevelCount = Shape::kLevels.size();

 public:
  HWY_NOINLINE MagnitudeCells(const float* x, const float* weights) noexcept
      : Base(x, weights), cell_x_(this->magnitudes()), cell_w_(weights) {}

  HWY_NOINLINE void fit(std::array<float, kGroupsOf<Shape>>& steps) const noexcept {
    const GroupLane<Shape> d;
    const Transposed<Shape::kGroup> x(this->x_), w(this->weights_);
    for (std::size_t part = 0; part < steps.size(); part += hn::Lanes(d)) {
      const auto top = largest_magnitude(d, x, part);
      StepFits<GroupLane<Shape>> best{hn::Zero(d), hn::Zero(d)};
      for (int k = 0; k < kFits; ++k) {
        const auto step = hn::Mul(hn::Div(top, hn::Set(d, Shape::kLevels.back())),
                                  hn::Set(d, kFitFirst + kFitStride * static_cast<float>(k)));
        const auto inverse = hn::Div(hn::Set(d, 1.0F), step);
        auto cross = hn::Zero(d), square = hn::Zero(d);
        for (std::size_t e = 0; e < Shape::kGroup; ++e) {
          const auto magnitude = hn::Abs(x.at(d, e, part));
          const auto level = nearest_magnitude<Shape>(d, hn::Mul(magnitude, inverse));
          const auto weighted = hn::Mul(w.at(d, e, part), level);
          square = hn::Add(square, hn::Mul(weighted, level));
          cross = hn::Add(cross, hn::Mul(weighted, magnitude));
        }
        best.offer(d, cross, square);
      }
      const auto found = hn::IfThenElseZero(hn::Ge(top, hn::Set(d, kZeroGroup)), best.step);
      hn::StoreU(found, d, steps.data() + part);
    }
  }

  HWY_NOINLINE void search(CellResults& results) const noexcept {
    for (std::size_t cell = 0; cell < kCells<Shape>; cell += hn::Lanes(kLane)) search_cells(cell, results);
  }

 private:
  static constexpr CellLane kLane{};
  static constexpr std::size_t kMaxLanes = hn::MaxLanes(CellLane());

  struct alignas(64) HalfSums {
    float cross[Shape::kHalves][kMaxLanes];
    float square[Shape::kHalves][kMaxLanes];
    float flip[Base::kChoosesFlip ? Shape::kHalves : 1][kMaxLanes];
  };

  /// All patterns of half a cell, level by level: the sums of a pattern follow from those without its last
  /// level.
  HWY_INLINE void fill_half_sums(std::size_t cell, std::size_t from, CellVec odd, HalfSums& sums) const {
    std::size_t count = 1;
    hn::Store(hn::Zero(kLane), kLane, sums.cross[0]);
    hn::Store(hn::Zero(kLane), kLane, sums.square[0]);
    if constexpr (Base::kChoosesFlip)
      hn::Store(hn::Set(kLane, std::numeric_limits<float>::infinity()), kLane, sums.flip[0]);
    for (std::size_t e = 0; e < kHalf; ++e) {
      const auto w = cell_w_.at(kLane, from + e, cell);
      const auto twice = hn::Mul(hn::Set(kLane, 2.0F), hn::Mul(w, cell_x_.at(kLane, from + e, cell)));
      CellVec product[kLevelCount], square[kLevelCount];
      for (std::size_t l = 0; l < kLevelCount; ++l) {
        const float level = Shape::kLevels[l];
        product[l] = hn::Mul(twice, hn::Set(kLane, level));
        square[l] = hn::Mul(w, hn::Set(kLane, level * level));
      }
      for (std::size_t pattern = count;
           pattern-- > 0;) {  // backwards: a pattern's place is read before it is taken
        const auto cross_before = hn::Load(kLane, sums.cross[pattern]);
        const auto square_before = hn::Load(kLane, sums.square[pattern]);
        CellVec flip_before{};
        if constexpr (Base::kChoosesFlip) flip_before = hn::Load(kLane, sums.flip[pattern]);
        for (std::size_t l = kLevelCount; l-- > 0;) {
          const std::size_t longer = pattern * kLevelCount + l;
          hn::Store(hn::Add(cross_before, product[l]), kLane, sums.cross[longer]);
          hn::Store(hn::Add(square_before, square[l]), kLane, sums.square[longer]);
          if constexpr (Base::kChoosesFlip) {
            hn::Store(hn::Min(flip_before, hn::Add(product[l], product[l])), kLane, sums.flip[longer]);
          }
        }
      }
      count *= kLevelCount;
    }
    if constexpr (Base::kChoosesFlip) {
      const auto is_odd = hn::Ne(odd, hn::Zero(kLane));
      for (std::size_t pattern = 0; pattern < count; ++pattern) {
        hn::Store(hn::IfThenElseZero(is_odd, hn::Load(kLane, sums.flip[pattern])), kLane, sums.flip[pattern]);
      }
    }
  }

  HWY_INLINE void search_cells(std::size_t cell, CellResults& results) const {
    alignas(64) float odd_cells[kMaxLanes] = {};
    if constexpr (Base::kChoosesFlip) {
      for (std::size_t lane = 0; lane < hn::Lanes(kLane); ++lane)
        odd_cells[lane] = this->is_odd(cell + lane) ? 1 : 0;
    }
    const auto odd = hn::Load(kLane, odd_cells);
    HalfSums first, second;
    fill_half_sums(cell, 0, odd, first);
    fill_half_sums(cell, kHalf, odd, second);

    const hn::RebindToSigned<CellLane> di;
    CellVec step[kTries], best[kTries];
    hn::VFromD<decltype(di)> best_word[kTries];
    for (std::size_t k = 0; k < kTries; ++k) {
      step[k] = hn::LoadU(kLane, results.step[k].data() + cell);
      best[k] = hn::Set(kLane, -std::numeric_limits<float>::infinity());
      best_word[k] = hn::Zero(di);
    }
    const auto halves = Shape::halves();
    for (std::size_t word = 0; word < halves.size(); ++word) {
      const auto [a, b] = halves[word];
      auto cross = hn::Add(hn::Load(kLane, first.cross[a]), hn::Load(kLane, second.cross[b]));
      if constexpr (Base::kChoosesFlip) {
        cross = hn::Sub(cross, hn::Min(hn::Load(kLane, first.flip[a]), hn::Load(kLane, second.flip[b])));
      }
      const auto square = hn::Add(hn::Load(kLane, first.square[a]), hn::Load(kLane, second.square[b]));
      const auto number = hn::Set(di, static_cast<std::int32_t>(word));
      for (std::size_t k = 0; k < kTries; ++k) {
        const auto score = hn::Sub(cross, hn::Mul(step[k], square));
        const auto better = hn::Gt(score, best[k]);
        best[k] = hn::IfThenElse(better, score, best[k]);
        best_word[k] = hn::IfThenElse(hn::RebindMask(di, better), number, best_word[k]);
      }
    }
    const hn::Rebind<std::uint16_t, decltype(di)> du16;
    for (std::size_t k = 0; k < kTries; ++k) {
      hn::StoreU(hn::Mul(step[k], best[k]), kLane, results.gain[k].data() + cell);
      hn::StoreU(hn::DemoteTo(du16, best_word[k]), du16, results.word[k].data() + cell);
    }
  }

  Transposed<kCell> cell_x_, cell_w_;
};

/// IQ1_S, IQ1_M.
template <class Shape>
class TernaryCells : public reference::TernaryCells<Shape> {
  using Base = reference::TernaryCells<Shape>;
  static constexpr std::size_t kCell = 8;

 public:
  HWY_NOINLINE TernaryCells(const float* x, const float* weights) noexcept
      : Base(x, weights), cell_x_(x), cell_w_(weights) {}

  HWY_NOINLINE void fit(std::array<float, kGroupsOf<Shape>>& steps) const noexcept {
    const GroupLane<Shape> d;
    const Transposed<Shape::kGroup> x(this->x_), w(this->weights_);
    for (std::size_t part = 0; part < steps.size(); part += hn::Lanes(d)) {
      const auto top = largest_magnitude(d, x, part);
      StepFits<GroupLane<Shape>> best{hn::Zero(d), hn::Zero(d)};
      for (int k = 0; k < kFits; ++k) {
        const auto step =
            hn::Mul(top, hn::Set(d, kTernaryFitFirst + kTernaryFitStride * static_cast<float>(k)));
        const auto inverse = hn::Div(hn::Set(d, 1.0F), step);
        auto cross = hn::Zero(d), square = hn::Zero(d);
        for (std::size_t unit = 0; unit < Shape::kGroup; unit += Shape::kShiftCells * kCell) {
          FreeSums up{hn::Zero(d), hn::Zero(d)}, down = up;
          for (std::size_t e = unit; e < unit + Shape::kShiftCells * kCell; ++e) {
            const auto value = x.at(d, e, part), weight = w.at(d, e, part);
            up.add(value, weight, inverse, kIq1Shift);
            down.add(value, weight, inverse, -kIq1Shift);
          }
          const auto is_down = hn::Gt(down.explained(step), up.explained(step));
          cross = hn::Add(cross, hn::IfThenElse(is_down, down.cross, up.cross));
          square = hn::Add(square, hn::IfThenElse(is_down, down.square, up.square));
        }
        best.offer(d, cross, square);
      }
      const auto found = hn::IfThenElseZero(hn::Ge(top, hn::Set(d, kZeroGroup)), best.step);
      hn::StoreU(found, d, steps.data() + part);
    }
  }

  HWY_NOINLINE void search(CellResults& results) const noexcept {
    for (std::size_t k = 0; k < kTries; ++k) {
      alignas(64) float up[kCells<Shape>], down[kCells<Shape>];
      std::uint16_t code_up[kCells<Shape>], code_down[kCells<Shape>];
      for (std::size_t cell = 0; cell < kCells<Shape>; cell += hn::Lanes(kLane)) {
        const auto step = hn::LoadU(kLane, results.step[k].data() + cell);
        best_codes(cell, step, kIq1Shift, up, code_up);
        best_codes(cell, step, -kIq1Shift, down, code_down);
      }
      for (std::size_t unit = 0; unit < kCells<Shape>; unit += Shape::kShiftCells) {
        float error_up = 0, error_down = 0;
        for (std::size_t c = unit; c < unit + Shape::kShiftCells; ++c) {
          error_up += up[c];
          error_down += down[c];
        }
        const bool is_down = error_down < error_up;
        for (std::size_t c = unit; c < unit + Shape::kShiftCells; ++c) {
          results.gain[k][c] = -(is_down ? down[c] : up[c]);
          results.word[k][c] = is_down ? code_down[c] : code_up[c];
          results.negative_shift[k][c] = is_down ? 1 : 0;
        }
      }
    }
  }

 private:
  static constexpr CellLane kLane{};

  struct FreeSums {
    using D = GroupLane<Shape>;
    using V = hn::VFromD<D>;
    HWY_INLINE void add(V x, V weight, V inverse, float shift) {
      const D d;
      const auto delta = hn::Set(d, shift);
      const auto level = round_lanes(d, clamp_lanes(d, hn::Sub(hn::Mul(x, inverse), delta), -1, 1));
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

  HWY_INLINE void best_codes(std::size_t cell, CellVec step, float shift, float* errors,
                             std::uint16_t* codes) const {
    const hn::RebindToSigned<CellLane> di;
    const auto zero = hn::Zero(kLane), one = hn::Set(kLane, 1.0F), delta = hn::Set(kLane, shift);
    const auto inverse = hn::Div(one, step);
    CellVec cost[kCell];
    auto error = zero;
    auto code = hn::Zero(di);
    for (std::size_t e = 0; e < kCell; ++e) {
      const auto x = cell_x_.at(kLane, e, cell), w = cell_w_.at(kLane, e, cell);
      const auto value = hn::Sub(hn::Mul(x, inverse), delta);
      const auto level = round_lanes(kLane, clamp_lanes(kLane, value, -1, 1));
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
    const auto& members = codebooks::iq1_members();
    const auto near = hn::GatherIndex(di, members.near.data(), code);
    const auto far = hn::GatherIndex(di, members.far.data(), code);
    const auto infinity = hn::Set(kLane, std::numeric_limits<float>::infinity());
    const auto is_member = [&](auto set, std::size_t bit) HWY_ATTR {
      return hn::RebindMask(kLane, hn::TestBit(set, hn::Set(di, static_cast<std::int32_t>(1u << bit))));
    };
    auto best = hn::IfThenElse(is_member(near, 0), zero, infinity);
    auto flip = hn::Zero(di);
    const auto offer = [&](auto member, auto price, std::size_t j) HWY_ATTR {
      const auto better = hn::And(member, hn::Lt(price, best));
      best = hn::IfThenElse(better, price, best);
      flip = hn::IfThenElse(hn::RebindMask(di, better), hn::Set(di, codebooks::kTernaryFlips[j]), flip);
    };
    for (std::size_t e = 0; e < kCell; ++e) offer(is_member(near, 1 + e), cost[e], 1 + e);
    std::size_t pair = 0;
    for (std::size_t e = 0; e < kCell; ++e) {
      for (std::size_t f = e + 1; f < kCell; ++f, ++pair) {
        offer(is_member(far, pair), hn::Add(cost[e], cost[f]), 9 + pair);
      }
    }
    hn::StoreU(hn::Add(error, best), kLane, errors + cell);
    const hn::Rebind<std::uint16_t, decltype(di)> du16;
    hn::StoreU(hn::DemoteTo(du16, hn::Xor(code, flip)), du16, codes + cell);
  }

  Transposed<kCell> cell_x_, cell_w_;
};

}  // namespace llmq::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
