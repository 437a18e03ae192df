// Rows in which chosen weights must decode as exactly as half precision would hold them:
// docs/super-weights.md. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "llmq/core/block_types.hpp"

namespace llmq {

/// Largest relative error of a protected weight: what rounding to half precision costs at most.
inline constexpr double kProtectedError = 1.0 / 2048;

/// |decoded - weight| / |weight|; 0 for two zeros, infinity for a zero that decodes as something else.
double relative_error(float weight, float decoded) noexcept;
/// True if a protected weight may decode so.
inline bool is_held(float weight, float decoded) noexcept {
  const double exact = weight;  // differences of floats and the product are exact
  return std::fabs(static_cast<double>(decoded) - exact) <= kProtectedError * std::fabs(exact);
}

/// Encodes the blocks that hold protected weights again where their error is larger than kProtectedError.
/// Blocks without protected weights and those that do well keep their bytes. The same bytes on every
/// instruction set. Local, thread-safe.
/// @param importance  as in encode_rows, whose result for this row stands in `encoded`
/// @param columns     protected, ascending, below row.size()
/// @return true if every protected weight decodes within kProtectedError afterwards; false: this type cannot
/// hold them here (or several of one block only by ruining its others), and blocks before the first that
/// fails may have changed.
bool protect_row(GgmlType type, std::span<const float> row, std::span<const float> importance,
                 std::span<const std::uint64_t> columns, std::span<std::byte> encoded);

/// Columns of the weights of one row among flat indices (row x row_elems + column, ascending).
std::vector<std::uint64_t> protected_columns(std::span<const std::uint64_t> weights, std::uint64_t row,
                                             std::uint64_t row_elems);

/// What protect_row would answer after encode_rows, without encoding blocks that have no protected weights.
bool can_protect_row(GgmlType type, std::span<const float> row, std::span<const float> importance,
                     std::span<const std::uint64_t> columns);

}  // namespace llmq
