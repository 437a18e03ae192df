// Q2_K, Q3_K: super-blocks of 256 in sub-blocks of 16.
// SPDX-License-Identifier: Apache-2.0
#include "llmq/core/half.hpp"

#include "quant/blocks.hpp"
#include "quant/linear_encoder.hpp"
#include "quant/reference/decode_blocks.hpp"
#include "quant/reference/families.hpp"
#include "quant/reference/plain_groups.hpp"

namespace llmq {
namespace {

using blocks::kSuper;

void decode_q2_k(const blocks::Q2_K& block, float* out) {
  const float d = f16_to_f32(block.d);
  const float dmin = f16_to_f32(block.dmin);
  for (std::size_t i = 0; i < kSuper; ++i) {
    const std::uint8_t pair = block.scales[i / 16];
    out[i] = d * static_cast<float>(pair & 15) * static_cast<float>(two_bits(block.qs, i)) -
             dmin * static_cast<float>(pair >> 4);
  }
}

/// Six bits: the low four in one nibble, the high two in the last four bytes.
int scale_of(const blocks::Q3_K& block, std::size_t j) {
  const int low = nibble(block.scales[j % 8], j / 8);
  const int high = (block.scales[8 + j % 4] >> (2 * (j / 4))) & 3;
  return low + 16 * high - 32;
}

void decode_q3_k(const blocks::Q3_K& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (std::size_t i = 0; i < kSuper; ++i) {
    const int high = (block.hmask[i % 32] >> (i / 32)) & 1;
    const int code = two_bits(block.qs, i) + 4 * high - 4;
    out[i] = d * static_cast<float>(scale_of(block, i / 16)) * static_cast<float>(code);
  }
}

}  // namespace

const std::array<Codec, 2> kSmallKCodecs = {{
    {GgmlType::Q2_K, &decode_blocks<blocks::Q2_K, kSuper, &decode_q2_k>,
     &encode_linear_row<ShapeQ2_K, reference::AffineGroups<ShapeQ2_K>>},
    {GgmlType::Q3_K, &decode_blocks<blocks::Q3_K, kSuper, &decode_q3_k>,
     &encode_linear_row<ShapeQ3_K, reference::SignedGroups<ShapeQ3_K>>},
}};

}  // namespace llmq
