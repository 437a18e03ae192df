// Encoding and decoding rows of weights. One registry row per type; docs/formats/blocks.md has the layouts.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "llmq/core/block_types.hpp"

namespace llmq {

/// Decodes `out.size()` weights (a multiple of the block) from `bytes`. No alignment needed.
using DecodeRow = void (*)(std::span<const std::byte> bytes, std::span<float> out) noexcept;

/// Encodes one row. `importance` is empty or has one value >= 0 per weight of the row (mean squared
/// activation of its column); `row` is the whole row, because some objectives use its mean square. Never
/// reads outside the spans.
using EncodeRow = void (*)(std::span<const float> row, std::span<const float> importance,
                           std::span<std::byte> out) noexcept;

struct Codec {
  GgmlType type;
  DecodeRow decode;  ///< null: type cannot be read yet
  EncodeRow encode;  ///< null: type cannot be written yet
};

/// All rows of the registry in order of id.
std::span<const Codec> codecs() noexcept;
/// Row of a type; null functions inside mean "not built yet". Null when the type has no row.
const Codec* find_codec(GgmlType type) noexcept;
/// True if the type can be encoded here.
bool can_encode(GgmlType type) noexcept;
bool can_decode(GgmlType type) noexcept;

/// Encodes `rows` rows of `row_elems` weights back to back. Local, thread-safe.
/// @param importance empty or row_elems values, the same for every row.
void encode_rows(GgmlType type, std::span<const float> weights, std::uint64_t row_elems,
                 std::span<const float> importance, std::span<std::byte> out);
/// Inverse. @throws Error(unsupported_conversion) for a type without a decoder.
void decode_rows(GgmlType type, std::span<const std::byte> bytes, std::uint64_t row_elems,
                 std::span<float> out);

}  // namespace llmq
