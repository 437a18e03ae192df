// Rows of the grid types into blocks, for either kind of inner loops. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

#include "quant/grid_packing.hpp"
#include "quant/grid_search.hpp"

namespace llmq {

/// @tparam Cells  inner loops for the shape
template <class Shape, class Cells>
inline void encode_grid_row(std::span<const float> row, std::span<const float> importance,
                            std::span<std::byte> out) noexcept {
  using Block = typename Shape::Block;
  constexpr std::size_t elems = blocks::kSuper;
  for (std::size_t index = 0; index < row.size() / elems; ++index) {
    const float* x = row.data() + index * elems;
    alignas(64) float weights[elems];
    weigh_block<Shape::kGroup, elems>(Shape::kObjective, x, importance_of(importance, index * elems, elems),
                                      0, weights);
    Cells cells(x, weights);
    GridChoice choice;
    choose_grid<Shape>(cells, choice);
    Block block{};
    packing::pack(choice, block);
    std::memcpy(out.data() + index * sizeof block, &block, sizeof block);
  }
}

}  // namespace llmq
