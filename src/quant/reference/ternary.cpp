// TQ1_0, TQ2_0: levels -d, 0, +d. SPDX-License-Identifier: Apache-2.0
#include "llmq/core/half.hpp"

#include "quant/blocks.hpp"
#include "quant/reference/decode_blocks.hpp"
#include "quant/reference/families.hpp"

namespace llmq {
namespace {

using blocks::kSuper;

/// Trit n (0 first) of a byte that holds five of them as a fixed-point fraction of 3^5.
int trit(std::uint8_t byte, std::size_t n) {
  constexpr std::uint8_t kPowers[] = {1, 3, 9, 27, 81};
  const auto shifted = static_cast<std::uint8_t>(byte * kPowers[n]);
  return (shifted * 3) >> 8;
}

void decode_tq1_0(const blocks::TQ1_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (std::size_t i = 0; i < kSuper; ++i) {
    int t = 0;
    if (i < 160) {
      t = trit(block.qs[i % 32], i / 32);
    } else if (i < 240) {
      t = trit(block.qs[32 + (i - 160) % 16], (i - 160) / 16);
    } else {
      t = trit(block.qh[(i - 240) % 4], (i - 240) / 4);
    }
    out[i] = d * static_cast<float>(t - 1);
  }
}

void decode_tq2_0(const blocks::TQ2_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (std::size_t i = 0; i < kSuper; ++i) out[i] = d * static_cast<float>(two_bits(block.qs, i) - 1);
}

}  // namespace

const std::array<Codec, 2> kTernaryCodecs = {{
    {GgmlType::TQ1_0, &decode_blocks<blocks::TQ1_0, kSuper, &decode_tq1_0>, nullptr},
    {GgmlType::TQ2_0, &decode_blocks<blocks::TQ2_0, kSuper, &decode_tq2_0>, nullptr},
}};

}  // namespace llmq
