// The order of rotated rows inside one attention head. Hugging Face keeps pairs half a head apart (c, c +
// h/2), GGUF keeps them adjacent (2c, 2c + 1). Example, head of 4: GGUF rows are Hugging Face rows 0 2 1 3.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace llmq {

/// Hugging Face row that stands at `row` of a head in GGUF. `half` = head size / 2.
constexpr std::uint64_t gguf_row_to_hf(std::uint64_t row, std::uint64_t half) noexcept {
  return (row % 2) * half + row / 2;
}

/// GGUF row that stands at `row` of a head in Hugging Face order.
constexpr std::uint64_t hf_row_to_gguf(std::uint64_t row, std::uint64_t half) noexcept {
  return 2 * (row % half) + row / half;
}

}  // namespace llmq
