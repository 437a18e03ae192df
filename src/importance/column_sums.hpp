// Power sums of columns over the token rows of one sample: the inner loop of the statistics.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>

namespace llmq {

/// Columns worked on at once: their partials (14 KiB) stay in L1 while the token rows stream by.
inline constexpr std::size_t kColumnTile = 512;

struct TilePartials {
  std::array<double, kColumnTile> sum{};
  std::array<double, kColumnTile> sum_sq{};
  std::array<double, kColumnTile> sum_quad{};
  std::array<float, kColumnTile> max_abs{};
};

/// Adds rows of `width` <= kColumnTile columns, `stride` values apart, to the tile: x, x^2 and x^4 in f64 in
/// token order, max |x|. A column meets no other one, so every instruction set gives the same bytes. A NaN
/// reaches the sums but need not reach max_abs. x needs no alignment.
void add_rows_to_tile(const float* x, std::size_t tokens, std::size_t stride, std::size_t width,
                      TilePartials& tile) noexcept;

}  // namespace llmq
