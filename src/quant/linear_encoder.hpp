// Rows of the linear types into blocks, for either kind of inner loops.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <span>

#include "quant/group_search.hpp"
#include "quant/packing.hpp"

namespace llmq {

/// @tparam GroupsType  inner loops for the shape
template <class Shape, class GroupsType>
inline void encode_linear_row(std::span<const float> row, std::span<const float> importance,
                              std::span<std::byte> out) noexcept {
  using Block = typename Shape::Block;
  constexpr std::size_t at_once = kSlots / Shape::kGroups;
  constexpr std::size_t elems = kBlockElems<Shape>;
  const bool needs_row = Shape::kObjective.spread == Spread::row && !importance.empty();
  const float row_mean_square = needs_row ? mean_square(row) : 0;
  const std::size_t count = row.size() / elems;
  alignas(64) float x[kSlots * Shape::kGroup];
  alignas(64) float weights[kSlots * Shape::kGroup];
  Choice choices[at_once];
  for (std::size_t first = 0; first < count; first += at_once) {
    const std::size_t found = std::min(at_once, count - first);
    std::copy_n(row.data() + first * elems, found * elems, x);
    std::fill(x + found * elems, std::end(x), 0.0F);  // blocks behind the end of the row
    std::fill(weights + found * elems, std::end(weights), 1.0F);
    for (std::size_t b = 0; b < found; ++b) {
      GroupsType::weigh(x + b * elems, importance_of(importance, (first + b) * elems, elems), row_mean_square,
                        weights + b * elems);
    }
    GroupsType groups(x, weights);
    if constexpr (kIsAffine<Shape>) {
      choose_affine<Shape>(groups, choices);
    } else {
      choose_signed<Shape>(groups, choices);
    }
    for (std::size_t b = 0; b < found; ++b) {
      Block block{};
      if constexpr (Shape::kGroups == 1 && kIsAffine<Shape>) {
        // The format adds its offset, the search subtracts a minimum.
        if (choices[b].dmin != 0) choices[b].dmin = static_cast<std::uint16_t>(choices[b].dmin ^ 0x8000u);
      }
      packing::pack(choices[b], block);
      std::memcpy(out.data() + (first + b) * sizeof block, &block, sizeof block);
    }
  }
}

}  // namespace llmq
