// Type of each tensor class for one file level; one table row a level. docs/formats/mixes.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "llmq/quant/type_policy.hpp"

namespace llmq {

/// What a rule may look at besides the tensor's class.
struct MixPosition {
  std::uint32_t index = 0;  ///< layer index, or for attn_v the count of attn_v tensors before
  std::uint32_t count = 1;  ///< layers, or attn_v tensors in all
  bool has_imatrix = false;
  const MixModel* model = nullptr;
};

/// "Use more bits": the first and last eighth of the layers and every third between.
constexpr bool use_more_bits(std::uint32_t index, std::uint32_t count) noexcept {
  return index < count / 8 || index >= 7 * count / 8 || (index - count / 8) % 3 == 2;
}

using MixRule = GgmlType (*)(GgmlType level_default, const MixPosition& position) noexcept;

/// Rules of one level; classes not named take the default.
struct Mix {
  std::uint32_t file_type;
  MixRule attn_v;
  MixRule attn_output;
  MixRule ffn_down;
};

/// Null for levels whose mix is not built.
const Mix* find_mix(std::uint32_t file_type) noexcept;

}  // namespace llmq
