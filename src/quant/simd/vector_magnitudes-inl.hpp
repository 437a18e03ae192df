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

/// IQ2_*, IQ3_*. Signs, levels of chosen codewords: as the reference, whose class is the base.
template <class Shape>
class MagnitudeCells : public reference::MagnitudeCells<Shape> {
  using Base = reference::MagnitudeCells<Shape>;
  static constexpr std::size_t kCell = Shape::kCell;
  static constexpr std::size_t kHalf = kCell / 2;
  static constexpr std::size_t kLevelCount = Shape::kLevels.size();

  // Cells side by side when scores are rounded.
  using ScoreLane = hn::CappedTag<std::int16_t, kCells<Shape>>;
  using ScoreVec = hn::VFromD<ScoreLane>;
  static constexpr ScoreLane kScoreLane{};
  static constexpr std::size_t kScoreLanes = hn::MaxLanes(ScoreLane());

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
    if constexpr (Base::kRounds) {
      for (std::size_t cell = 0; cell < kCells<Shape>; cell += kScoreLanes) search_halves(cell, results);
    } else {
      for (std::size_t cell = 0; cell < kCells<Shape>; cell += hn::Lanes(kLane)) search_words(cell, results);
    }
  }

  /// search_halves leaves both halves in `results`, the second one known by its score only: now and then it
  /// is one that no codeword has behind the first.
  std::uint16_t word_of(const CellResults& results, std::size_t k, std::size_t cell) const noexcept {
    const std::uint16_t found = results.word[k][cell];
    if constexpr (!Base::kRounds) {
      return found;
    } else {
      const std::size_t first = found / Shape::kHalves;
      const std::uint16_t word = Shape::by_first_half().word(first, found % Shape::kHalves);
      if (word != codebooks::ByFirstHalf::kNoWord) return word;
      return Base::word_behind(first, cell, results.step[k][cell]);
    }
  }

  HWY_NOINLINE BlockSums sums(const GridState<Shape>& state) const noexcept {
    return block_sums<Shape>(this->values_of(state), state, this->magnitudes(), this->weights_);
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

  /// Scores of cells in lanes at each of the tried steps.
  template <std::size_t Count>
  struct alignas(64) Scores {
    HWY_INLINE ScoreVec at(std::size_t i, std::size_t k) const { return hn::Load(kScoreLane, of[i][k]); }
    HWY_INLINE void put(std::size_t i, std::size_t k, ScoreVec value) {
      hn::Store(value, kScoreLane, of[i][k]);
    }
    std::int16_t of[Count][kTries][kScoreLanes];
  };
  /// What each level of each weight is worth.
  using Worths = Scores<kCell * kLevelCount>;
  /// A gain is a score times this.
  struct alignas(64) GainFactors {
    float of[kTries][kScoreLanes];
  };

  HWY_INLINE void fill_worths(std::size_t first, const CellResults& results, Worths& worths,
                              GainFactors& factors) const {
    constexpr float kTop = Shape::kLevels.back();
    for (std::size_t at = 0; at < kScoreLanes; at += kLanes) {
      Vec weight[kCell], twice[kCell];
      auto cross = hn::Zero(kLane), square = hn::Zero(kLane);
      for (std::size_t e = 0; e < kCell; ++e) {
        weight[e] = cell_w_.at(kLane, e, first + at);
        twice[e] = hn::Mul(set(2), hn::Mul(weight[e], cell_x_.at(kLane, e, first + at)));
        cross = hn::Add(cross, hn::Mul(hn::Abs(twice[e]), set(kTop)));
        square = hn::Add(square, hn::Mul(weight[e], set(kTop * kTop)));
      }
      for (std::size_t k = 0; k < kTries; ++k) {
        const auto step = hn::LoadU(kLane, results.step[k].data() + first + at);
        const auto bound = hn::Add(cross, hn::Mul(step, square));
        const auto fits = hn::And(hn::Ge(bound, set(kLeastScore)), hn::Le(bound, set(kLargestScore)));
        const auto grain = hn::IfThenElseZero(fits, hn::Div(bound, set(kScoreTop)));
        const auto inverse = hn::Div(set(kScoreTop), bound);
        hn::Store(hn::Mul(step, grain), kLane, factors.of[k] + at);
        for (std::size_t e = 0; e < kCell; ++e) {
          const auto linear = hn::IfThenElseZero(fits, hn::Mul(twice[e], inverse));
          const auto quadratic = hn::IfThenElseZero(fits, hn::Mul(hn::Mul(step, weight[e]), inverse));
          for (std::size_t l = 0; l < kLevelCount; ++l) {
            const float level = Shape::kLevels[l];
            const auto worth =
                hn::NearestInt(hn::Sub(hn::Mul(linear, set(level)), hn::Mul(quadratic, set(level * level))));
            const hn::Rebind<std::int16_t, Lane> d16;
            hn::StoreU(hn::DemoteTo(d16, worth), d16, worths.of[e * kLevelCount + l][k] + at);
          }
        }
      }
    }
  }

  /// All patterns of the weights [from, to) of a cell, level by level: a pattern follows from the one without
  /// its last level. Backwards, so that a pattern's place is read before it is taken.
  template <std::size_t Count>
  HWY_INLINE void fill_scores(const Worths& worths, std::size_t from, std::size_t to,
                              Scores<Count>& scores) const {
    std::size_t count = 1;
    for (std::size_t k = 0; k < kTries; ++k) scores.put(0, k, hn::Zero(kScoreLane));
    for (std::size_t e = from; e < to; ++e) {
      for (std::size_t k = 0; k < kTries; ++k) {
        ScoreVec worth[kLevelCount];
        for (std::size_t l = 0; l < kLevelCount; ++l) worth[l] = worths.at(e * kLevelCount + l, k);
        for (std::size_t pattern = count; pattern-- > 0;) {
          const auto before = scores.at(pattern, k);
          for (std::size_t l = kLevelCount; l-- > 0;) {
            scores.put(pattern * kLevelCount + l, k, hn::Add(before, worth[l]));
          }
        }
      }
      count *= kLevelCount;
    }
  }

  using Seconds = Scores<kMaxPlaces>;                  // by place of by_first_half().seconds()
  using Begun = Scores<Shape::kHalves / kLevelCount>;  // first halves without their last level
  struct BestHalves {
    ScoreVec score[kTries];   ///< of first and second half
    ScoreVec first[kTries];   ///< its number
    ScoreVec second[kTries];  ///< its score
  };

  HWY_INLINE void search_halves(std::size_t cell, CellResults& results) const {
    Worths worths;
    GainFactors factors;
    Begun begun;
    Seconds seconds;
    fill_worths(cell, results, worths, factors);
    fill_scores(worths, 0, kHalf - 1, begun);
    fill_scores(worths, kHalf, kCell, seconds);
    std::size_t place = Shape::kHalves;
    for (const auto [a, b] : Shape::by_first_half().seconds().pairs()) {
      for (std::size_t k = 0; k < kTries; ++k)
        seconds.put(place, k, hn::Max(seconds.at(a, k), seconds.at(b, k)));
      ++place;
    }
    const BestHalves best = best_halves(worths, begun, seconds);
    for (std::size_t k = 0; k < kTries; ++k) {
      const auto second = second_with(best.second[k], k, seconds);
      const auto halves = hn::Add(hn::Mul(best.first[k], hn::Set(kScoreLane, Shape::kHalves)), second);
      store_best(cell, k, best.score[k], halves, factors, results);
    }
  }

  HWY_INLINE BestHalves best_halves(const Worths& worths, const Begun& begun, const Seconds& seconds) const {
    BestHalves best;
    for (std::size_t k = 0; k < kTries; ++k) {
      best.score[k] = hn::Set(kScoreLane, std::numeric_limits<std::int16_t>::min());
      best.first[k] = best.second[k] = hn::Zero(kScoreLane);
    }
    for (const auto& [first, places] : Shape::by_first_half().leads()) {
      ScoreVec second[kTries];
      for (std::size_t k = 0; k < kTries; ++k) second[k] = seconds.at(places[0], k);
      for (std::size_t i = 1; i < places.size(); ++i) {
        for (std::size_t k = 0; k < kTries; ++k) second[k] = hn::Max(second[k], seconds.at(places[i], k));
      }
      const std::size_t last = (kHalf - 1) * kLevelCount + first % kLevelCount;
      for (std::size_t k = 0; k < kTries; ++k) {
        const auto half = hn::Add(begun.at(first / kLevelCount, k), worths.at(last, k));
        const auto score = hn::Add(half, second[k]);
        const auto better = hn::Gt(score, best.score[k]);
        best.score[k] = hn::Max(score, best.score[k]);
        best.first[k] = hn::IfThenElse(better, hn::Set(kScoreLane, first), best.first[k]);
        best.second[k] = hn::IfThenElse(better, second[k], best.second[k]);
      }
    }
    return best;
  }

  /// The first of the second halves that score so much.
  HWY_INLINE ScoreVec second_with(ScoreVec score, std::size_t k, const Seconds& seconds) const {
    auto found = hn::Zero(kScoreLane);
    for (std::size_t half = Shape::kHalves; half-- > 0;) {
      const auto same = hn::Eq(seconds.at(half, k), score);
      found = hn::IfThenElse(same, hn::Set(kScoreLane, static_cast<std::int16_t>(half)), found);
    }
    return found;
  }

  HWY_INLINE void store_best(std::size_t cell, std::size_t k, ScoreVec best, ScoreVec number,
                             const GainFactors& factors, CellResults& results) const {
    const hn::RebindToUnsigned<ScoreLane> du16;
    hn::StoreU(hn::BitCast(du16, number), du16, results.word[k].data() + cell);
    alignas(64) std::int16_t scores[kScoreLanes];
    hn::Store(best, kScoreLane, scores);
    for (std::size_t at = 0; at < kScoreLanes; at += kLanes) {
      const auto part = hn::LoadU(hn::Rebind<std::int16_t, Lane>(), scores + at);
      const auto score = hn::ConvertTo(kLane, hn::PromoteTo(hn::RebindToSigned<Lane>(), part));
      hn::StoreU(hn::Mul(hn::Load(kLane, factors.of[k] + at), score), kLane,
                 results.gain[k].data() + cell + at);
    }
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
