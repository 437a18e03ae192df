// Which tensor gets which block type: file levels, their mixes, row-length fallbacks. docs/formats/mixes.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llmq/core/block_types.hpp"
#include "llmq/quant/type_rules.hpp"

namespace llmq {

/// One file level of the command line.
struct FileLevel {
  std::string_view name;    ///< canonical spelling, "Q4_K_M"
  std::uint32_t file_type;  ///< general.file_type
  GgmlType default_type;    ///< D of the mix tables
  bool available;           ///< every type its mix and the fallbacks can choose has an encoder
};

/// All levels of the contract, in its order (TERNARY and dynamic excluded).
std::span<const FileLevel> file_levels();
/// By name, case-insensitive, TERNARY for TQ1_0; null when unknown.
const FileLevel* find_file_level(std::string_view name);

/// What the mixes look at.
struct MixModel {
  std::string architecture;  ///< "llama"
  std::uint32_t n_layers = 0;
  std::uint32_t head_count = 0;
  std::uint32_t head_count_kv = 0;
  std::uint32_t expert_count = 0;
};

/// One tensor as the mixes see it.
struct MixTensor {
  std::string name;       ///< GGUF name
  std::uint64_t ne0 = 0;  ///< in_features
  std::uint64_t ne1 = 1;
  std::uint64_t ne2 = 1;
  GgmlType source_type = GgmlType::F32;  ///< type kept when the tensor is not quantized
};

/// The answer for one tensor.
struct TypeChoice {
  GgmlType type = GgmlType::F32;
  bool quantized = false;                 ///< false: not eligible, stays in its kept type
  std::optional<GgmlType> fallback_from;  ///< set when the row length forced another type
  std::optional<std::size_t> rule;        ///< the rule by name that decided
};

/// True if the rules of section 1 let the quantizer touch this tensor.
bool is_eligible(const MixTensor& tensor) noexcept;
/// What takes the place of `wanted` where it does not divide the rows (blocks.md section 3).
GgmlType row_fallback(GgmlType wanted) noexcept;
/// Type actually used for rows of `row_elems`: `wanted`, its fallback, or F16.
GgmlType fallback_type(GgmlType wanted, std::uint64_t row_elems) noexcept;
/// One choice per tensor, same order as `tensors`; `tensors` may come in any order. What `rules` say wins
/// over the mix; a type that does not divide the rows falls back in either case.
std::vector<TypeChoice> choose_types(const FileLevel& level, const MixModel& model,
                                     std::span<const MixTensor> tensors, bool has_imatrix,
                                     const TypeRules& rules = {});
/// What the rules say of one eligible tensor, whatever the level.
struct RuledType {
  bool kept = false;                ///< not quantized
  std::optional<GgmlType> type;     ///< wanted, before its row length is looked at; none: the level decides
  std::optional<std::size_t> rule;  ///< the rule by name that decided
};
/// @param has_output  the model has an output.weight beside token_embd.weight
RuledType ruled_type(const TypeRules& rules, const std::string& name, bool has_output);

/// True if a tensor of this type must not be encoded without importance (never token_embd or output).
bool requires_imatrix(GgmlType type, const FileLevel& level, std::string_view tensor_name) noexcept;

}  // namespace llmq
