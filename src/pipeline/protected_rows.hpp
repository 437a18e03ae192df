// Rows of tensors in pieces that are read together, and the protected weights in them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "llmq/model/source.hpp"
#include "llmq/pipeline/quantize_plan.hpp"

namespace llmq {

/// Rows read and encoded together: some that stay in the second-level cache from read to encode. Permuted
/// rows are read by the head, so a piece is whole heads: none is read twice.
std::uint64_t rows_at_once(const ModelTensor& tensor) noexcept;

/// Rows [row, row + rows) of one matrix of a tensor, with protected weights among them.
struct ProtectedPiece {
  std::size_t tensor = 0;                  ///< the caller's number
  std::uint64_t row = 0, rows = 0;         ///< of the tensor
  std::span<const std::uint64_t> weights;  ///< flat indices within, ascending; not empty
};

/// The pieces of a tensor that hold protected weights, in order of rows.
/// @param weights  flat indices, ascending; the pieces refer to them
std::vector<ProtectedPiece> protected_pieces(const ModelTensor& tensor, std::size_t number,
                                             std::span<const std::uint64_t> weights);

/// Calls visit(row, columns) for each row with some of these weights; columns are ascending.
template <class Visit>
void for_each_protected_row(std::span<const std::uint64_t> weights, std::uint64_t row_elems,
                            const Visit& visit) {
  std::vector<std::uint64_t> columns;
  for (std::size_t i = 0; i < weights.size();) {
    const std::uint64_t row = weights[i] / row_elems;
    columns.clear();
    for (; i < weights.size() && weights[i] / row_elems == row; ++i)
      columns.push_back(weights[i] % row_elems);
    visit(row, std::span<const std::uint64_t>(columns));
  }
}

/// Makes encoded rows hold the tensor's protected weights. Thread-safe.
/// @param first_row  of `weights` in the tensor; all rows are of one matrix
/// @param encoded    what encode_rows made of them
void protect_rows(const PlannedTensor& tensor, std::uint64_t first_row, std::span<const float> weights,
                  std::span<const float> importance, std::span<std::byte> encoded);

}  // namespace llmq
