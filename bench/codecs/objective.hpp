// The weights w of the error sum w (x - y)^2 by which the reference chooses the codes of a type; errors are
// compared by its own measure. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llmq/core/block_types.hpp"

namespace llmq::bench {

/// One w for each of `weights` (whole rows). `importance` is empty or has one value a column.
std::vector<float> objective_weights(GgmlType type, std::span<const float> weights, std::uint64_t row_elems,
                                     std::span<const float> importance);

}  // namespace llmq::bench
