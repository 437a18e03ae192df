// The search for scales and codes of the linear types, apart from its inner loops: what is tried, in which
// order, and when something better was found (docs/formats/blocks.md, "How numbers are chosen"). The inner
// loops over the weights of sixteen groups come as a class `Groups`, once in plain C++
// (reference/plain_groups.hpp) and once for vectors (simd/vector_groups-inl.hpp); both give the same bits.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

#include "quant/choice.hpp"

namespace llmq {

inline constexpr std::size_t kSlots = 16;  ///< groups that are searched side by side
using PerSlot = std::array<float, kSlots>;

/// Scales and minima under trial, and what the trial found. Values decode as unit s level(q) - unit_min m.
struct alignas(64) Trial {
  PerSlot unit{}, unit_min{};
  PerSlot scale{}, minimum{};           ///< integers s and m
  PerSlot error{};                      ///< sum w (x - y)^2 of the best s, m and codes
  PerSlot sum_l{}, sum_ll{}, sum_xl{};  ///< sums of w l, w l l, w x l over these codes
};

/// Sums of a group that no trial changes.
struct alignas(64) GroupSums {
  PerSlot w{}, x{};  ///< sums of w, w x
};

/// Numbers of one block: the halves and what multiplies them.
template <std::size_t Groups>
struct BlockScales {
  float unit = 0, unit_min = 0;
  std::array<float, Groups> scale{}, minimum{};
  float error = std::numeric_limits<float>::infinity();
};

/// Rounded to half precision; zero is always the positive one.
inline float half_of(float value) noexcept { return f16_to_f32(scale_to_half(value)) + 0.0F; }

/// Nearest multiple of a unit, in [low, high].
/// @param inverse  of the unit, 0 for a unit of zero
inline float nearest_multiple(float value, float inverse, int low, int high) noexcept {
  const float ratio = value * inverse;
  const float top = static_cast<float>(high), bottom = static_cast<float>(low);
  return round_even(ratio > top ? top : ratio > bottom ? ratio : bottom);
}
inline float inverse_of(float unit) noexcept { return unit != 0 ? 1 / unit : 0; }

/// Least-squares d and dmin of a block whose codes stand, as halves. Keeps what cannot be determined.
template <std::size_t Groups>
inline void refit_affine(const Trial& trial, const GroupSums& sums, std::size_t first,
                         BlockScales<Groups>& scales) noexcept {
  std::array<float, Groups> aa, ab, bb, ax, bx;  // columns a = s l and b = -m
  for (std::size_t j = 0; j < Groups; ++j) {
    const float s = trial.scale[first + j], m = trial.minimum[first + j];
    aa[j] = s * s * trial.sum_ll[first + j];
    ab[j] = -s * m * trial.sum_l[first + j];
    bb[j] = m * m * sums.w[first + j];
    ax[j] = s * trial.sum_xl[first + j];
    bx[j] = -m * sums.x[first + j];
  }
  const double sum_aa = tree_sum(aa), sum_ab = tree_sum(ab), sum_bb = tree_sum(bb);
  const double sum_ax = tree_sum(ax), sum_bx = tree_sum(bx);
  const double determinant = sum_aa * sum_bb - sum_ab * sum_ab;
  double d = scales.unit;
  double dmin = scales.unit_min;
  if (determinant > 1e-5 * sum_aa * sum_bb) {
    d = (sum_ax * sum_bb - sum_bx * sum_ab) / determinant;
    dmin = (sum_bx * sum_aa - sum_ax * sum_ab) / determinant;
  } else if (sum_aa > 0) {
    d = (sum_ax - dmin * sum_ab) / sum_aa;
  }
  const float half = half_of(static_cast<float>(d));
  const float half_min = half_of(static_cast<float>(dmin));
  if (!(half > 0) || (Groups > 1 && !(half_min >= 0))) return;
  scales.unit = half;
  scales.unit_min = half_min;
}

/// Least-squares d of a block of signed levels.
template <std::size_t Groups>
inline void refit_signed(const Trial& trial, std::size_t first, BlockScales<Groups>& scales) noexcept {
  std::array<float, Groups> aa, ax;
  for (std::size_t j = 0; j < Groups; ++j) {
    const float s = trial.scale[first + j];
    aa[j] = s * s * trial.sum_ll[first + j];
    ax[j] = s * trial.sum_xl[first + j];
  }
  const float sum_aa = tree_sum(aa);
  if (!(sum_aa > 0)) return;
  const float half = half_of(tree_sum(ax) / sum_aa);
  if (half != 0) scales.unit = half;
}

template <std::size_t Groups>
inline void to_trial(const BlockScales<Groups>& scales, std::size_t first, Trial& trial) noexcept {
  for (std::size_t j = 0; j < Groups; ++j) {
    trial.unit[first + j] = scales.unit;
    trial.unit_min[first + j] = scales.unit_min;
    trial.scale[first + j] = scales.scale[j];
    trial.minimum[first + j] = scales.minimum[j];
  }
}

/// Takes scales, minima and error over from a trial.
template <std::size_t Groups>
inline void from_trial(const Trial& trial, std::size_t first, BlockScales<Groups>& scales) noexcept {
  std::array<float, Groups> errors;
  for (std::size_t j = 0; j < Groups; ++j) {
    scales.scale[j] = trial.scale[first + j];
    scales.minimum[j] = trial.minimum[first + j];
    errors[j] = trial.error[first + j];
  }
  scales.error = tree_sum(errors);
}

/// Runs sweeps over sixteen slots: every group looks for better scales and codes at the block's unit, then
/// the unit is refitted. Leaves the best of each block in `best`.
template <class Shape, class GroupsType, class Refit>
inline void improve(GroupsType& groups,
                    std::array<BlockScales<Shape::kGroups>, kSlots / Shape::kGroups>& best,
                    const Refit& refit) noexcept {
  constexpr std::size_t groups_of_block = Shape::kGroups;
  constexpr bool has_scales = groups_of_block > 1;  // otherwise the unit is the scale
  auto current = best;
  Trial trial;
  for (int sweep = 1; sweep <= kSweeps<Shape>; ++sweep) {
    for (std::size_t b = 0; b < best.size(); ++b) to_trial(current[b], b * groups_of_block, trial);
    groups.sweep(!has_scales ? 0 : sweep == 1 ? kFirstRadius<Shape> : 1, trial);
    if (sweep < kSweeps<Shape>) groups.sum_up(trial);
    for (std::size_t b = 0; b < best.size(); ++b) {
      from_trial(trial, b * groups_of_block, current[b]);
      if (sweep == 1 || current[b].error < best[b].error) best[b] = current[b];
      if (sweep < kSweeps<Shape>) refit(trial, b * groups_of_block, current[b]);
    }
  }
}

/// Least squares makes decoded values too small as a whole: sum w x y is sum w x^2 less the error. Scaled up
/// by `part` of what is missing, as half.
/// @param error, cross  sums of w (x - y)^2 and of w x y
inline float unshrunk(float unit, float part, float error, float cross) noexcept {
  if (!(cross > 0) || !(error < cross)) return unit;
  return half_of(unit * (1 + part * (error / cross)));
}

/// Both units of each block unshrunk; codes and scales stay.
template <class Shape, class GroupsType>
inline void unshrink(GroupsType& groups, Trial& trial,
                     std::array<BlockScales<Shape::kGroups>, kSlots / Shape::kGroups>& best) noexcept {
  constexpr std::size_t count = Shape::kGroups;
  groups.sum_up(trial);
  for (std::size_t b = 0; b < best.size(); ++b) {
    std::array<float, count> cross;
    for (std::size_t j = 0; j < count; ++j) {
      const std::size_t slot = b * count + j;
      cross[j] = trial.unit[slot] * trial.scale[slot] * trial.sum_xl[slot];
      if constexpr (kIsAffine<Shape>) {
        cross[j] -= trial.unit_min[slot] * trial.minimum[slot] * groups.sums().x[slot];
      }
    }
    const float sum = tree_sum(cross);
    best[b].unit = unshrunk(best[b].unit, Shape::kUnshrink, best[b].error, sum);
    best[b].unit_min = unshrunk(best[b].unit_min, Shape::kUnshrink, best[b].error, sum);
  }
}

/// Codes for the best numbers, and everything into choices.
template <class Shape, class GroupsType>
inline void finish(GroupsType& groups, std::array<BlockScales<Shape::kGroups>, kSlots / Shape::kGroups>& best,
                   Choice* choices) noexcept {
  constexpr std::size_t count = Shape::kGroups;
  Trial trial;
  for (std::size_t b = 0; b < best.size(); ++b) to_trial(best[b], b * count, trial);
  std::uint8_t codes[kSlots * Shape::kGroup];
  groups.codes(trial, codes);
  if constexpr (Shape::kUnshrink > 0) unshrink<Shape>(groups, trial, best);
  for (std::size_t b = 0; b < best.size(); ++b) {
    Choice& choice = choices[b];
    choice.d = f32_to_f16(best[b].unit);
    choice.dmin = f32_to_f16(best[b].unit_min);
    for (std::size_t j = 0; j < count; ++j) {
      choice.scales[j] = static_cast<int>(best[b].scale[j]);
      choice.minima[j] = static_cast<int>(best[b].minimum[j]);
    }
    std::copy_n(codes + b * kBlockElems<Shape>, kBlockElems<Shape>, choice.codes.begin());
  }
}

/// Affine types: y = d s q - dmin m.
template <class Shape, class GroupsType>
inline void choose_affine(GroupsType& groups, Choice* choices) noexcept {
  constexpr std::size_t count = Shape::kGroups;
  PerSlot fit_d{}, fit_min{};
  groups.fit(fit_d, fit_min);
  std::array<BlockScales<count>, kSlots / count> best;
  for (std::size_t b = 0; b < best.size(); ++b) {
    BlockScales<count>& block = best[b];
    const std::size_t first = b * count;
    if constexpr (count == 1) {
      block.unit = half_of(fit_d[first]);
      block.unit_min = half_of(fit_min[first]);
      block.scale[0] = block.minimum[0] = 1;
    } else {
      float top = 0, top_min = 0;
      for (std::size_t j = first; j < first + count; ++j) {
        top = std::max(top, fit_d[j]);
        top_min = std::max(top_min, fit_min[j]);
      }
      block.unit = half_of(top / Shape::kScaleTop);
      block.unit_min = half_of(top_min / Shape::kMinTop);
      const float inverse = inverse_of(block.unit), inverse_min = inverse_of(block.unit_min);
      for (std::size_t j = 0; j < count; ++j) {
        block.scale[j] = nearest_multiple(fit_d[first + j], inverse, 0, Shape::kScaleTop);
        block.minimum[j] = nearest_multiple(fit_min[first + j], inverse_min, 0, Shape::kMinTop);
      }
    }
  }
  improve<Shape>(groups, best, [&](const Trial& trial, std::size_t first, BlockScales<count>& scales) {
    refit_affine<count>(trial, groups.sums(), first, scales);
  });
  finish<Shape>(groups, best, choices);
}

/// Signed types: y = d s level(q). Several units are tried, because the group of the largest scale may take
/// any of the outer multiples.
template <class Shape, class GroupsType>
inline void choose_signed(GroupsType& groups, Choice* choices) noexcept {
  constexpr std::size_t count = Shape::kGroups;
  PerSlot fit_d{};
  groups.fit(fit_d);
  std::array<BlockScales<count>, kSlots / count> best;
  if constexpr (count == 1) {
    for (std::size_t b = 0; b < best.size(); ++b) {
      best[b].unit = half_of(fit_d[b]);
      best[b].scale[0] = 1;
    }
  } else {
    constexpr float low = Shape::kScaleLow;
    constexpr float outers[] = {low, -low, low + 0.5F, -low - 0.5F};
    for (const float outer : std::span(outers).first(kUnitStarts<Shape>)) {
      std::array<BlockScales<count>, kSlots / count> start;
      Trial trial;
      for (std::size_t b = 0; b < start.size(); ++b) {
        float top = 0;
        for (std::size_t j = 0; j < count; ++j) {
          if (std::fabs(fit_d[b * count + j]) > std::fabs(top)) top = fit_d[b * count + j];
        }
        start[b].unit = half_of(top / outer);
        const float inverse = inverse_of(start[b].unit);
        for (std::size_t j = 0; j < count; ++j) {
          start[b].scale[j] =
              nearest_multiple(fit_d[b * count + j], inverse, Shape::kScaleLow, -Shape::kScaleLow - 1);
        }
        to_trial(start[b], b * count, trial);
      }
      if constexpr (kUnitStarts < Shape >> 1)
        groups.sweep(0, trial);  // nothing to compare a single start with
      for (std::size_t b = 0; b < start.size(); ++b) {
        from_trial(trial, b * count, start[b]);
        if (outer == low || start[b].error < best[b].error) best[b] = start[b];
      }
    }
  }
  improve<Shape>(groups, best, [](const Trial& trial, std::size_t first, BlockScales<count>& scales) {
    refit_signed<count>(trial, first, scales);
  });
  finish<Shape>(groups, best, choices);
}

}  // namespace llmq
