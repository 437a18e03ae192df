// Ranges and sizes of the columns of a weight, gathered while its rows go by. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <span>
#include <vector>

namespace llmq {

/// Columns of one weight. Shapes: [in_features].
struct WeightColumns {
  std::vector<float> largest;  ///< largest magnitude
  std::vector<float> squares;  ///< sum of squares over the rows, in their order
};

/// Adds rows [count, in_features]. A column meets no other one: the same bytes on every instruction set. NaN
/// and infinite weights make `squares` of their column NaN or infinite; so do finite ones above 1.8e19.
void add_rows(std::span<const float> rows, WeightColumns& columns);

}  // namespace llmq
