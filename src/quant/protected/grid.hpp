// Held weights in blocks of codewords, y = d (2 s + 1) factor G: units near that of an encoder without
// constraints are looked at for the groups of held weights only; the best of them are searched whole.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "quant/group_search.hpp"
#include "quant/protected/grid_cells.hpp"

namespace llmq::held {

inline constexpr int kGridHits = 8;  ///< units a start that hold all weights
inline constexpr int kGridReach = 3072;
inline constexpr std::size_t kFinalists = 4;  ///< units that are searched whole

/// @tparam Shape  a MagnitudeShape or a TernaryShape
template <class Shape>
class GridHolder {
  static constexpr std::size_t kGroups = kGroupsOf<Shape>;
  static constexpr std::size_t kGroupCells = Shape::kGroup / Shape::kCell;
  static constexpr bool kTernary = kIsTernaryGrid<Shape>;

 public:
  explicit GridHolder(const HeldBlock& block) : block_(block), cells_(block) {
    for (std::size_t i = 0; i < block.elems; ++i) {
      if (block.is_held[i]) held_[i / Shape::kGroup].push_back(i);
    }
  }

  /// Gathers units that hold all weights.
  void search(const Start& start) {
    int hits = 0;
    walk_halves(start.d, kGridReach, [&](std::uint16_t half) {
      if (!may_hold(half)) return true;
      Candidate candidate{half, 0, start.scale, {}};
      if (!place_held(candidate)) return true;
      candidate.error += rest_error(half, start);
      candidates_.push_back(std::move(candidate));
      return ++hits < kGridHits;
    });
  }

  /// Searches the best ones whole. False if none was found.
  bool choose(GridChoice& choice) {
    const std::size_t count = std::min(kFinalists, candidates_.size());
    std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(count),
                      candidates_.end(), [](const Candidate& a, const Candidate& b) {
                        return a.error != b.error ? a.error < b.error : a.d < b.d;
                      });
    float best = kNever;
    for (std::size_t k = 0; k < count; ++k) {
      Candidate& candidate = candidates_[k];
      candidate.error = 0;
      if (!place_held(candidate)) continue;
      place_rest(candidate);
      if (!(candidate.error < best)) continue;
      best = candidate.error;
      choice = candidate.choice;
    }
    return best < kNever;
  }

 private:
  struct Candidate {
    std::uint16_t d = 0;
    float error = kNever;
    std::array<float, 16> scale{};  ///< real scales to begin from
    GridChoice choice;
  };

  static float step(std::uint16_t d, int scale) noexcept {
    return f16_to_f32(d) * (Shape::kFactor * static_cast<float>(2 * scale + 1));
  }

  /// Scales at which every held weight of the group is near a level: what costs little to find out.
  bool may_hold(std::size_t group, float step_size) const noexcept {
    return std::all_of(held_[group].begin(), held_[group].end(), [&](std::size_t i) {
      if constexpr (kTernary) {
        for (const float value : {0.125F, 0.875F, 1.125F}) {
          if (is_held(std::fabs(block_.x[i]), step_size * value)) return true;
        }
      } else {
        for (const auto value : Shape::kLevels) {
          if (is_held(std::fabs(block_.x[i]), step_size * static_cast<float>(value))) return true;
        }
      }
      return false;
    });
  }
  bool may_hold(std::uint16_t d) const noexcept {
    for (std::size_t g = 0; g < kGroups; ++g) {
      bool any = held_[g].empty();
      for (int s = 0; s <= Shape::kScaleTop && !any; ++s) any = may_hold(g, step(d, s));
      if (!any) return false;
    }
    return true;
  }

  bool place_held(Candidate& candidate) const {
    candidate.choice.d = candidate.d;
    for (std::size_t g = 0; g < kGroups; ++g) {
      if (held_[g].empty()) continue;
      float best = kNever;
      for (int s = 0; s <= Shape::kScaleTop; ++s) {
        if (may_hold(g, step(candidate.d, s))) place_group(g, s, best, candidate.choice);
      }
      if (!(best < kNever)) return false;
      candidate.error += best;
    }
    return true;
  }

  void place_rest(Candidate& candidate) const {
    for (std::size_t g = 0; g < kGroups; ++g) {
      if (!held_[g].empty()) continue;
      float best = kNever;
      const int own = nearest_scale(candidate.d, candidate.scale[g]);
      for (int s = std::max(0, own - 1); s <= std::min(Shape::kScaleTop, own + 1); ++s)
        place_group(g, s, best, candidate.choice);
      candidate.error += best;
    }
  }

  static int nearest_scale(std::uint16_t d, float real) noexcept {
    const float value = 0.5F * (real / (f16_to_f32(d) * Shape::kFactor) - 1);
    return value > 0 ? static_cast<int>(round_even(std::min(value, static_cast<float>(Shape::kScaleTop))))
                     : 0;
  }

  /// What the other groups cost with freely chosen levels at the scale next to their own.
  float rest_error(std::uint16_t d, const Start& start) const noexcept {
    float error = 0;
    for (std::size_t i = 0; i < block_.elems; ++i) {
      const std::size_t g = i / Shape::kGroup;
      if (!held_[g].empty()) continue;
      const float size = step(d, nearest_scale(d, start.scale[g]));
      const float magnitude = std::fabs(block_.x[i]);
      float least = kNever;
      if constexpr (kTernary) {
        for (const float value : {0.0F, 1.0F}) least = std::min(least, std::fabs(magnitude - size * value));
      } else {
        for (const auto value : Shape::kLevels)
          least = std::min(least, std::fabs(magnitude - size * static_cast<float>(value)));
      }
      error += block_.weights[i] * (least * least);
    }
    return error;
  }

  /// The group's cells at a scale into `choice` if they cost less than `best`.
  void place_group(std::size_t group, int scale, float& best, GridChoice& choice) const {
    GridChoice tried;
    float error = 0;
    const std::size_t first = group * kGroupCells;
    if constexpr (kTernary) {
      for (std::size_t unit = first; unit < first + kGroupCells; unit += Shape::kShiftCells)
        error += place_shifted(unit, step(choice.d, scale), tried);
    } else {
      for (std::size_t cell = first; cell < first + kGroupCells; ++cell)
        error += place_cell(cell, step(choice.d, scale), tried);
    }
    if (!(error < best)) return;
    best = error;
    choice.scales[group] = scale;
    for (std::size_t cell = first; cell < first + kGroupCells; ++cell) {
      choice.words[cell] = tried.words[cell];
      if (kTernary) choice.negative_shift[cell] = tried.negative_shift[cell];
    }
    for (std::size_t k = group * Shape::kGroup / 8; !kTernary && k < (group + 1) * Shape::kGroup / 8; ++k)
      choice.signs[k] = tried.signs[k];
  }

  float place_cell(std::size_t cell, float step_size, GridChoice& tried) const {
    const CellChoice found = cells_.best(cell, step_size, 0);
    const std::size_t eight = cell * Shape::kCell / 8;
    tried.words[cell] = found.word;
    tried.signs[eight] = cells_.signs(eight);
    if (found.flip < 8)
      tried.signs[eight] = static_cast<std::uint8_t>(tried.signs[eight] ^ (1u << found.flip));
    return found.error;
  }

  /// Cells that share a shift take the direction in which they err less.
  float place_shifted(std::size_t unit, float step_size, GridChoice& tried) const {
    float best = kNever;
    for (const std::uint8_t negative : {std::uint8_t{0}, std::uint8_t{1}}) {
      GridChoice shifted;
      float error = 0;
      for (std::size_t cell = unit; cell < unit + kShift; ++cell) {
        const CellChoice found = cells_.best(cell, step_size, negative != 0 ? -kIq1Shift : kIq1Shift);
        shifted.words[cell] = found.word;
        error += found.error;
      }
      if (!(error < best)) continue;
      best = error;
      for (std::size_t cell = unit; cell < unit + kShift; ++cell) {
        tried.words[cell] = shifted.words[cell];
        tried.negative_shift[cell] = negative;
      }
    }
    return best;
  }
  static constexpr std::size_t kShift = [] {
    if constexpr (kTernary)
      return Shape::kShiftCells;
    else
      return std::size_t{1};
  }();

  const HeldBlock& block_;
  CellSearch<Shape> cells_;
  std::array<std::vector<std::size_t>, kGroups> held_;
  std::vector<Candidate> candidates_;
};

}  // namespace llmq::held
