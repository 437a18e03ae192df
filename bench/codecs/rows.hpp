// The rows that are encoded: made ones and a model's, always the same.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace llmq::bench {

/// Rows of one length and the importance of their columns.
struct Batch {
  std::uint64_t row_elems = 0;
  std::vector<float> weights;
  std::vector<float> importance;  ///< log-normal, with some zeros
};

/// What a kind of rows is measured on.
struct Rows {
  std::string kind;
  std::vector<Batch> batches;  ///< one a row length
};

/// @param kind "gauss" (sigma 0.02), "heavy" (Student t of 3 degrees with outliers) or "model:PATH": rows
/// spread evenly over all matrices of a safetensors checkpoint whose rows are multiples of 256.
/// @throws Error(invalid_arguments) for another kind or a checkpoint without such rows.
Rows make_rows(std::string_view kind);

}  // namespace llmq::bench
