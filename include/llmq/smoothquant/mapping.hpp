// Which weights share an input that can be made smoother, and what undoes it. Xiao et al., SmoothQuant, 2022
// (arXiv 2211.10438); the value and up-projection foldings are exact, too, because what lies between the two
// weights works channel by channel.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "llmq/model/forward.hpp"
#include "llmq/model/spec.hpp"

namespace llmq {

enum class FoldKind {
  norm,   ///< the norm is divided, a bias too, the columns of the weights behind it are multiplied
  value,  ///< rows of attn_v are divided, columns of attn_output multiplied; heads of a group share channels
  up      ///< rows of ffn_up are divided, columns of ffn_down multiplied
};

struct SmoothMapping {
  FoldKind kind = FoldKind::norm;
  std::uint32_t layer = 0;
  MatmulInput input = MatmulInput::attention;  ///< the input that becomes smoother
  std::string source;                ///< GGUF name of what is divided, e.g. "blk.0.attn_norm.weight"
  std::vector<std::string> balance;  ///< weights whose columns are multiplied
  std::uint64_t channels = 0;        ///< scales: of the source's rows or values

  /// "blk.0.attn_norm -> attn_q, attn_k, attn_v".
  std::string name() const;
};

/// "blk.0.attn_v.weight" -> "blk.0.attn_v.bias".
std::string bias_of(const std::string& weight);

/// All mappings of a dense decoder, layer by layer: attention norm, value, ffn norm, up. Without norms before
/// attention and MLP (OLMo 2) nothing can be folded into what they take in.
std::vector<SmoothMapping> smooth_mappings(const ModelSpec& spec);

/// The channel of `mapping` that scales column `column` of its balance weights. Columns of attn_output belong
/// to query heads: those of a group have the channels of one value head.
std::uint64_t channel_of_column(const SmoothMapping& mapping, const ModelSpec& spec, std::uint64_t column);

/// Largest values of the columns as those of the channels. Shapes: [in_features] -> [channels].
std::vector<float> largest_of_channels(const SmoothMapping& mapping, const ModelSpec& spec,
                                       std::span<const float> of_columns);

}  // namespace llmq
