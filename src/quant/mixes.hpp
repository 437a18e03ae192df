// Type of each tensor class at one file level: the table of docs/formats/mixes.md, one row a level.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "llmq/quant/type_policy.hpp"

namespace llmq {

/// What a rule may look at besides the tensor's class.
struct MixPosition {
  std::uint32_t index = 0;  ///< of the layer, or the count of such tensors before this one
  std::uint32_t count = 1;  ///< layers; for attn_v such tensors in all
  bool has_imatrix = false;
  const MixModel* model = nullptr;
};

/// "Use more bits": the first and last eighth of the layers and every third between.
constexpr bool use_more_bits(std::uint32_t index, std::uint32_t count) noexcept {
  return index < count / 8 || index >= 7 * count / 8 || (index - count / 8) % 3 == 2;
}

using MixCondition = bool (*)(const MixPosition& position) noexcept;

/// "When the condition holds, this type." Without a condition the case is none.
struct MixCase {
  MixCondition when = nullptr;
  GgmlType type = GgmlType::F32;
};

/// The first case that holds decides; when none does, the level's default type.
struct MixRule {
  std::array<MixCase, 2> cases{};
};

/// What a level has besides its rules.
enum class MixFamily {
  plain,    ///< no mixture: one type for every tensor
  low_bit,  ///< ffn_down is counted by tensor, not by layer
  usual,    ///< attn_v and attn_k are raised for large models and models of eight experts
};

/// One level. Classes without a rule take the default type.
struct Mix {
  std::string_view level;   ///< canonical spelling, "Q4_K_M"
  std::uint32_t file_type;  ///< general.file_type
  GgmlType base;            ///< default type
  GgmlType output;          ///< output.weight, and token_embd.weight where it is the output too
  MixFamily family = MixFamily::usual;
  MixRule token_embd{};
  MixRule attn_q{};
  MixRule attn_k{};
  MixRule attn_v{};
  MixRule attn_qkv{};
  MixRule attn_output{};
  MixRule ffn_gate_up{};
  MixRule ffn_down{};
};

/// All levels in the order of the command-line contract.
std::span<const Mix> mixes() noexcept;
const Mix& find_mix(std::uint32_t file_type);

/// The type a rule gives at one place.
GgmlType apply(const MixRule& rule, GgmlType base, const MixPosition& position) noexcept;
/// attn_v and attn_k: the rule, then what the model's size or experts raise it to.
GgmlType apply_attn_v(const Mix& mix, const MixPosition& position) noexcept;
GgmlType apply_attn_k(const Mix& mix, const MixPosition& position) noexcept;

/// Every type that a file of this level may hold: what its rules can give and what rows that do not fit lead
/// to.
std::vector<GgmlType> possible_types(const Mix& mix);

}  // namespace llmq
