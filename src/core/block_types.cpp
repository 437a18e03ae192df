#include "llmq/core/block_types.hpp"

#include <array>

#include <fmt/format.h>

#include "llmq/core/checked.hpp"
#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

namespace llmq {
namespace {

// clang-format off
constexpr std::array kTable = {
    BlockType{GgmlType::F32, "F32", 1, 4, true},          BlockType{GgmlType::F16, "F16", 1, 2, true},
    BlockType{GgmlType::Q4_0, "Q4_0", 32, 18, true},      BlockType{GgmlType::Q4_1, "Q4_1", 32, 20, true},
    BlockType{GgmlType::Q5_0, "Q5_0", 32, 22, true},      BlockType{GgmlType::Q5_1, "Q5_1", 32, 24, true},
    BlockType{GgmlType::Q8_0, "Q8_0", 32, 34, true},      BlockType{GgmlType::Q8_1, "Q8_1", 32, 36, false},
    BlockType{GgmlType::Q2_K, "Q2_K", 256, 84, true},     BlockType{GgmlType::Q3_K, "Q3_K", 256, 110, true},
    BlockType{GgmlType::Q4_K, "Q4_K", 256, 144, true},    BlockType{GgmlType::Q5_K, "Q5_K", 256, 176, true},
    BlockType{GgmlType::Q6_K, "Q6_K", 256, 210, true},    BlockType{GgmlType::Q8_K, "Q8_K", 256, 292, false},
    BlockType{GgmlType::IQ2_XXS, "IQ2_XXS", 256, 66, true}, BlockType{GgmlType::IQ2_XS, "IQ2_XS", 256, 74, true},
    BlockType{GgmlType::IQ3_XXS, "IQ3_XXS", 256, 98, true}, BlockType{GgmlType::IQ1_S, "IQ1_S", 256, 50, true},
    BlockType{GgmlType::IQ4_NL, "IQ4_NL", 32, 18, true},  BlockType{GgmlType::IQ3_S, "IQ3_S", 256, 110, true},
    BlockType{GgmlType::IQ2_S, "IQ2_S", 256, 82, true},   BlockType{GgmlType::IQ4_XS, "IQ4_XS", 256, 136, true},
    BlockType{GgmlType::I8, "I8", 1, 1, true},            BlockType{GgmlType::I16, "I16", 1, 2, true},
    BlockType{GgmlType::I32, "I32", 1, 4, true},          BlockType{GgmlType::I64, "I64", 1, 8, true},
    BlockType{GgmlType::F64, "F64", 1, 8, true},          BlockType{GgmlType::IQ1_M, "IQ1_M", 256, 56, true},
    BlockType{GgmlType::BF16, "BF16", 1, 2, true},        BlockType{GgmlType::TQ1_0, "TQ1_0", 256, 54, true},
    BlockType{GgmlType::TQ2_0, "TQ2_0", 256, 66, true},   BlockType{GgmlType::MXFP4, "MXFP4", 32, 17, true},
    BlockType{GgmlType::NVFP4, "NVFP4", 64, 36, true},    BlockType{GgmlType::Q1_0, "Q1_0", 128, 18, true},
    BlockType{GgmlType::Q2_0, "Q2_0", 64, 18, true},
};
// clang-format on

}  // namespace

std::span<const BlockType> block_types() noexcept { return kTable; }

const BlockType& block_type(GgmlType type) {
  for (const BlockType& row : kTable) {
    if (row.type == type) return row;
  }
  throw InternalError(fmt::format("no row for tensor type {}", static_cast<std::uint32_t>(type)));
}

std::optional<GgmlType> ggml_type_from_id(std::uint32_t id) noexcept {
  for (const BlockType& row : kTable) {
    if (static_cast<std::uint32_t>(row.type) == id && row.in_files) return row.type;
  }
  return std::nullopt;
}

std::optional<GgmlType> ggml_type_from_name(std::string_view name) noexcept {
  for (const BlockType& row : kTable) {
    if (equals_ignore_case(row.name, name)) return row.type;
  }
  return std::nullopt;
}

std::uint64_t row_bytes(GgmlType type, std::uint64_t row_elems) {
  const BlockType& row = block_type(type);
  if (row_elems % row.block_elems != 0) {
    throw Error(ExitCode::validation,
                fmt::format("a row of {} elements is not a multiple of the {} block size {}", row_elems,
                            row.name, row.block_elems));
  }
  return checked_mul(row_elems / row.block_elems, row.block_bytes, "row size");
}

double bits_per_weight(GgmlType type) {
  const BlockType& row = block_type(type);
  return 8.0 * row.block_bytes / row.block_elems;
}

std::optional<DType> plain_dtype(GgmlType type) noexcept {
  if (type == GgmlType::F32) return DType::F32;
  if (type == GgmlType::F16) return DType::F16;
  if (type == GgmlType::BF16) return DType::BF16;
  return std::nullopt;
}

GgmlType block_type_of(DType type) {
  switch (type) {
    case DType::F32:
      return GgmlType::F32;
    case DType::F16:
      return GgmlType::F16;
    case DType::BF16:
      return GgmlType::BF16;
    case DType::I8:
      return GgmlType::I8;
    default:
      throw InternalError("not a number format of weights");
  }
}

}  // namespace llmq
