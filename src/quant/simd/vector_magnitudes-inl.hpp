// Inner loops of the search of IQ2_* and IQ3_* for vectors: see vector_cells-inl.hpp. Included once per
// instruction set. SPDX-License-Identifier: Apache-2.0
#if defined(LLMQ_VECTOR_MAGNITUDES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef LLMQ_VECTOR_MAGNITUDES_INL_HPP
#undef LLMQ_VECTOR_MAGNITUDES_INL_HPP
#else
#define LLMQ_VECTOR_MAGNITUDES_INL_HPP
#endif

#include <limits>

#include <hwy/highway.h>

#include "quant/reference/plain_magnitudes.hpp"
#include "quant/simd/vector_cells-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace llmq::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class Shape, class D>
HWY_INLINE hn::VFromD<D> nearest_magnitude(D d, hn::VFromD<D> value) {
  if constexpr (Shape::kLevels.size() == 3) {
    const auto low = hn::IfThenElse(hn::Ge(value, hn::Set(d, 16.5F)), hn::Set(d, 25.0F), hn::Set(d, 8.0F));
    return hn::IfThenElse(hn::Ge(value, hn::Set(d, 34.0F)), hn::Set(d, 43.0F), low);
  } else if constexpr (Shape::kLevels[7] == 15) {
    const auto half = hn::Mul(hn::Sub(value, hn::Set(d, 1.0F)), hn::Set(d, 0.5F));
    return hn::Add(hn::Set(d, 1.0F), hn::Mul(hn::Set(d, 2.0F), round_even(within(half, 0, 7))));
  } else {
    const auto part = hn::Mul(hn::Sub(value, hn::Set(d, 4.0F)), hn::Set(d, 0.125F));
    const auto even = hn::Add(hn::Set(d, 4.0F), hn::Mul(hn::Set(d, 8.0F), round_even(within(part, 0, 6))));
    return hn::IfThenElse(hn::Ge(value, hn::Set(d, 57.0F)), hn::Set(d, 62.0F), even);
  }
}

/// The larger one; b if one is no number, on every target.
HWY_INLINE Vec larger(Vec a, Vec b) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR
  return hn::Max(a, b);  // maxps takes its second operand then
#else
  return hn::IfThenElse(hn::Gt(a, b), a, b);
#endif
}

/// IQ2_*, IQ3_*. Signs, levels of chosen codewords: as the reference, whose class is the base.
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
    using D = GroupLane<Shape>;
    const D d;
    const Transposed<Shape::kGroup> x(this->x_), w(this->weights_);
    fit_groups<Shape>(x, steps, [&](hn::VFromD<D> top, int k, std::size_t part) HWY_ATTR {
      const auto step = hn::Mul(hn::Div(top, hn::Set(d, Shape::kLevels.back())),
                                hn::Set(d, kFitFirst + kFitStride * static_cast<float>(k)));
      const auto inverse = hn::Div(hn::Set(d, 1.0F), step);
      GroupSquares<D> sums{hn::Zero(d), hn::Zero(d)};
      for (std::size_t e = 0; e < Shape::kGroup; ++e) {
        const auto magnitude = hn::Abs(x.at(d, e, part));
        const auto level = nearest_magnitude<Shape>(d, hn::Mul(magnitude, inverse));
        const auto weighted = hn::Mul(w.at(d, e, part), level);
        sums.square = hn::Add(sums.square, hn::Mul(weighted, level));
        sums.cross = hn::Add(sums.cross, hn::Mul(weighted, magnitude));
      }
      return sums;
    });
  }

  HWY_NOINLINE void search(CellResults& results) const noexcept {
    for (std::size_t cell = 0; cell < kCells<Shape>; cell += hn::Lanes(kLane)) {
      if constexpr (Base::kCompletes) {
        search_halves(cell, results);
      } else {
        search_words(cell, results);
      }
    }
  }

  HWY_NOINLINE BlockSums sums(const GridState<Shape>& state) const noexcept {
    return block_sums<Shape>(this->values_of(state), state, this->magnitudes(), this->weights_);
  }

  HWY_NOINLINE void complete(GridState<Shape>& state) const noexcept {
    for (std::size_t cell = 0; cell < kCells<Shape>; cell += hn::Lanes(kLane)) {
      alignas(64) float steps[kLanes];
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        steps[lane] = step_of(state, (cell + lane) * kCell / Shape::kGroup);
      }
      const Vec step[] = {hn::Load(kLane, steps)};
      Scores<1> second;
      fill_scores(cell, kHalf, step, second);
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        std::uint16_t& word = state.word[cell + lane];
        word = Base::best_word(word, &second.of[0][0][lane], kLanes);
      }
    }
  }

 private:
  struct alignas(64) HalfSums {
    float cross[Shape::kHalves][kLanes];
    float square[Shape::kHalves][kLanes];
    float flip[Shape::kHalves][kLanes];
  };

  /// The best score of each cell and step so far, and the number of what scored.
  class BestOfTries {
   public:
    static constexpr hn::RebindToSigned<Lane> kNumber{};
    using Numbers = hn::VFromD<hn::RebindToSigned<Lane>>;

    HWY_INLINE BestOfTries(const CellResults& results, std::size_t cell) {
      for (std::size_t k = 0; k < kTries; ++k) {
        step[k] = hn::LoadU(kLane, results.step[k].data() + cell);
        score_[k] = hn::Set(kLane, -std::numeric_limits<float>::infinity());
        number_[k] = hn::Zero(kNumber);
      }
    }
    HWY_INLINE void offer(std::size_t k, Vec score, Numbers number) {
      const auto better = hn::Gt(score, score_[k]);
      score_[k] = hn::IfThenElse(better, score, score_[k]);
      number_[k] = hn::IfThenElse(hn::RebindMask(kNumber, better), number, number_[k]);
    }
    HWY_INLINE void store(CellResults& results, std::size_t cell) const {
      const hn::Rebind<std::uint16_t, hn::RebindToSigned<Lane>> du16;
      for (std::size_t k = 0; k < kTries; ++k) {
        hn::StoreU(hn::Mul(step[k], score_[k]), kLane, results.gain[k].data() + cell);
        hn::StoreU(hn::DemoteTo(du16, number_[k]), du16, results.word[k].data() + cell);
      }
    }
    Vec step[kTries];

   private:
    Vec score_[kTries];
    Numbers number_[kTries];
  };

  /// What each pattern of half a cell is worth at each of the steps.
  template <std::size_t Steps>
  struct alignas(64) Scores {
    HWY_INLINE Vec at(std::size_t pattern, std::size_t k) const { return hn::Load(kLane, of[pattern][k]); }
    float of[Shape::kHalves][Steps][kLanes];
  };

  /// All patterns of half a cell, level by level: a pattern follows from the one without its last level.
  /// Backwards, so that a pattern's place is read before it is taken.
  template <std::size_t Steps>
  HWY_INLINE void fill_scores(std::size_t cell, std::size_t from, const Vec (&step)[Steps],
                              Scores<Steps>& scores) const {
    std::size_t count = 1;
    for (std::size_t k = 0; k < Steps; ++k) hn::Store(hn::Zero(kLane), kLane, scores.of[0][k]);
    for (std::size_t e = 0; e < kHalf; ++e) {
      const auto w = cell_w_.at(kLane, from + e, cell);
      const auto twice = hn::Mul(hn::Set(kLane, 2.0F), hn::Mul(w, cell_x_.at(kLane, from + e, cell)));
      for (std::size_t k = 0; k < Steps; ++k) {
        Vec worth[kLevelCount];
        for (std::size_t l = 0; l < kLevelCount; ++l) {
          const float level = Shape::kLevels[l];
          const auto square = hn::Mul(w, hn::Set(kLane, level * level));
          worth[l] = hn::Sub(hn::Mul(twice, hn::Set(kLane, level)), hn::Mul(step[k], square));
        }
        for (std::size_t pattern = count; pattern-- > 0;) {
          const auto before = scores.at(pattern, k);
          for (std::size_t l = kLevelCount; l-- > 0;) {
            hn::Store(hn::Add(before, worth[l]), kLane, scores.of[pattern * kLevelCount + l][k]);
          }
        }
      }
      count *= kLevelCount;
    }
  }

  HWY_INLINE void search_halves(std::size_t cell, CellResults& results) const {
    BestOfTries best(results, cell);
    Scores<kTries> first, second;
    fill_scores(cell, 0, best.step, first);
    fill_scores(cell, kHalf, best.step, second);
    const auto& words = Shape::by_first_half();
    std::int32_t number = 0;
    for (const auto& [half, begin, end] : words.leads) {
      Vec best_second[kTries];
      for (std::size_t k = 0; k < kTries; ++k) best_second[k] = second.at(words.second[begin], k);
      for (std::size_t i = begin + 1u; i < end; ++i) {
        const std::size_t other = words.second[i];
        for (std::size_t k = 0; k < kTries; ++k) {
          best_second[k] = larger(second.at(other, k), best_second[k]);
        }
      }
      const auto lead = hn::Set(best.kNumber, number++);
      for (std::size_t k = 0; k < kTries; ++k) {
        best.offer(k, hn::Add(first.at(half, k), best_second[k]), lead);
      }
    }
    best.store(results, cell);
  }

  /// Sums of all patterns, as fill_scores.
  HWY_INLINE void fill_half_sums(std::size_t cell, std::size_t from, Vec odd, HalfSums& sums) const {
    std::size_t count = 1;
    hn::Store(hn::Zero(kLane), kLane, sums.cross[0]);
    hn::Store(hn::Zero(kLane), kLane, sums.square[0]);
    hn::Store(hn::Set(kLane, std::numeric_limits<float>::infinity()), kLane, sums.flip[0]);
    for (std::size_t e = 0; e < kHalf; ++e) {
      const auto w = cell_w_.at(kLane, from + e, cell);
      const auto twice = hn::Mul(hn::Set(kLane, 2.0F), hn::Mul(w, cell_x_.at(kLane, from + e, cell)));
      Vec product[kLevelCount], square[kLevelCount];
      for (std::size_t l = 0; l < kLevelCount; ++l) {
        const float level = Shape::kLevels[l];
        product[l] = hn::Mul(twice, hn::Set(kLane, level));
        square[l] = hn::Mul(w, hn::Set(kLane, level * level));
      }
      for (std::size_t pattern = count; pattern-- > 0;) {
        const auto cross_before = hn::Load(kLane, sums.cross[pattern]);
        const auto square_before = hn::Load(kLane, sums.square[pattern]);
        const auto flip_before = hn::Load(kLane, sums.flip[pattern]);
        for (std::size_t l = kLevelCount; l-- > 0;) {
          const std::size_t longer = pattern * kLevelCount + l;
          hn::Store(hn::Add(cross_before, product[l]), kLane, sums.cross[longer]);
          hn::Store(hn::Add(square_before, square[l]), kLane, sums.square[longer]);
          hn::Store(hn::Min(flip_before, hn::Add(product[l], product[l])), kLane, sums.flip[longer]);
        }
      }
      count *= kLevelCount;
    }
    const auto is_odd = hn::Ne(odd, hn::Zero(kLane));
    for (std::size_t pattern = 0; pattern < count; ++pattern) {
      hn::Store(hn::IfThenElseZero(is_odd, hn::Load(kLane, sums.flip[pattern])), kLane, sums.flip[pattern]);
    }
  }

  HWY_INLINE void search_words(std::size_t cell, CellResults& results) const {
    alignas(64) float odd_cells[kLanes] = {};
    for (std::size_t lane = 0; lane < hn::Lanes(kLane); ++lane)
      odd_cells[lane] = this->is_odd(cell + lane) ? 1 : 0;
    const auto odd = hn::Load(kLane, odd_cells);
    HalfSums first, second;
    fill_half_sums(cell, 0, odd, first);
    fill_half_sums(cell, kHalf, odd, second);

    BestOfTries best(results, cell);
    const auto halves = Shape::halves();
    for (std::size_t word = 0; word < halves.size(); ++word) {
      const auto [a, b] = halves[word];
      auto cross = hn::Add(hn::Load(kLane, first.cross[a]), hn::Load(kLane, second.cross[b]));
      cross = hn::Sub(cross, hn::Min(hn::Load(kLane, first.flip[a]), hn::Load(kLane, second.flip[b])));
      const auto square = hn::Add(hn::Load(kLane, first.square[a]), hn::Load(kLane, second.square[b]));
      const auto number = hn::Set(best.kNumber, static_cast<std::int32_t>(word));
      for (std::size_t k = 0; k < kTries; ++k) {
        best.offer(k, hn::Sub(cross, hn::Mul(best.step[k], square)), number);
      }
    }
    best.store(results, cell);
  }

  Transposed<kCell> cell_x_, cell_w_;
};

}  // namespace llmq::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
