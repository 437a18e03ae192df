// The table of GGML tensor types: id in files, name, elements a block, bytes a block.
// Layouts live in room `quant`; everything that only needs sizes reads this table.
// Source: docs/formats/gguf.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "llmq/core/dtype.hpp"

namespace llmq {

/// Tensor type ids as stored in GGUF files. Ids that were removed from the format are absent on purpose.
enum class GgmlType : std::uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q8_1 = 9,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  Q8_K = 15,
  IQ2_XXS = 16,
  IQ2_XS = 17,
  IQ3_XXS = 18,
  IQ1_S = 19,
  IQ4_NL = 20,
  IQ3_S = 21,
  IQ2_S = 22,
  IQ4_XS = 23,
  I8 = 24,
  I16 = 25,
  I32 = 26,
  I64 = 27,
  F64 = 28,
  IQ1_M = 29,
  BF16 = 30,
  TQ1_0 = 34,
  TQ2_0 = 35,
  MXFP4 = 39,
  NVFP4 = 40,
  Q1_0 = 41,
  Q2_0 = 42,
};  // clang-format keeps rows of ids together

/// One row of the type table.
struct BlockType {
  GgmlType type;
  std::string_view name;      ///< canonical spelling, e.g. "Q4_K"
  std::uint32_t block_elems;  ///< weights in a block (1 for plain types)
  std::uint32_t block_bytes;  ///< bytes of a block
  bool in_files;              ///< false for types that only hold activations in memory
};

/// All rows in order of id.
std::span<const BlockType> block_types() noexcept;

/// Row of a type; the enum has no value without a row.
const BlockType& block_type(GgmlType type);

/// Row by the id found in a file; empty for unknown, removed and memory-only ids.
std::optional<GgmlType> ggml_type_from_id(std::uint32_t id) noexcept;

/// Row by name, case-insensitive.
std::optional<GgmlType> ggml_type_from_name(std::string_view name) noexcept;

inline std::string_view type_name(GgmlType type) { return block_type(type).name; }

/// Bytes of one row. `row_elems` must be a multiple of the block size: otherwise Error(validation).
std::uint64_t row_bytes(GgmlType type, std::uint64_t row_elems);

/// 8 x bytes / weights, e.g. 4.5 for Q4_K.
double bits_per_weight(GgmlType type);

/// F32, F16 and BF16 as a number format; nothing for other types.
std::optional<DType> plain_dtype(GgmlType type) noexcept;
/// F32, F16, BF16 and I8 as a type of blocks. @throws InternalError for others.
GgmlType block_type_of(DType type);

}  // namespace llmq
