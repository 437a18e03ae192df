// The types that bit allocation chooses from. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "llmq/core/block_types.hpp"

namespace llmq {

/// Ascending by id. Types whose blocks divide rows of this length and that no other is smaller and better
/// than on ordinary weights; at last one of 16 bits.
/// @param stored  type in the model: BF16 stays BF16 at 16 bits, all else becomes F16
std::vector<GgmlType> candidate_types(std::uint64_t row_elems, GgmlType stored);

}  // namespace llmq
