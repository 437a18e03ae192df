// Sums of products with AVX-512 VNNI, which adds four products of bytes to a 32-bit lane in one instruction.
// Highway 1.0 has no operation for it, so this is written for x86 alone. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace llmq::int8 {

/// Rows and outputs of a tile.
inline constexpr std::size_t kQuadRows = 12, kQuadOutputs = 32;

/// True if this CPU has the instruction.
bool has_quad_kernel() noexcept;

/// sums [rows, 32] += a w for 1 to 12 rows. The instruction takes bytes without sign times bytes with sign:
/// `a` holds codes + 128, and the caller takes 128 x (sum of w) off. Lanes wrap around on the way, so the
/// end is exact.
/// @param a [quads][rows][4]  @param w  first codes of the tile's two panels, `panel_bytes` apart
void add_quads(std::size_t rows, const std::uint8_t* a, const std::int8_t* w, std::size_t panel_bytes,
               std::size_t quads, std::int32_t* sums) noexcept;

}  // namespace llmq::int8
