// What a user says about the types of tensors beside the file level: patterns, and the tensors at both ends.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "llmq/core/block_types.hpp"

namespace llmq {

/// "Tensors whose GGUF name this expression finds get this type."
struct TypeRule {
  std::string pattern;  ///< as written
  GgmlType type = GgmlType::F32;
  std::regex expression;  ///< of `pattern`: found anywhere in the name, in any case
};

struct TypeRules {
  std::vector<TypeRule> by_name;       ///< the first that is found in a name decides
  bool pure = false;                   ///< the level's default type instead of its mix
  bool leave_output = false;           ///< output.weight keeps its source type; wins over everything else
  std::optional<GgmlType> output;      ///< output.weight, or token_embd.weight where it is the output too
  std::optional<GgmlType> token_embd;  ///< token_embd.weight; wins over `output`

  bool empty() const noexcept;
  /// Index of the rule by name that decides for a tensor.
  std::optional<std::size_t> find(const std::string& name) const;
  /// All of it in one line, in a fixed order: "pure; output-tensor-type=Q8_0". Empty when empty().
  std::string description() const;
};

/// A type that tensors can be quantized to, by name in any case.
/// @throws Error(invalid_arguments) for an unknown one, Error(unsupported_conversion) for one without an
/// encoder.
GgmlType parse_tensor_type(std::string_view name);
/// @throws Error(invalid_arguments) for a pattern that is no regular expression.
TypeRule make_type_rule(std::string_view pattern, std::string_view type);
/// "PATTERN=TYPE"; the last '=' divides. @throws as make_type_rule.
TypeRule parse_type_rule(std::string_view text);

}  // namespace llmq
