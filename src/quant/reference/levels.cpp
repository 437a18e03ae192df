// Types whose codes index a short table of levels: IQ4_NL, IQ4_XS, MXFP4, NVFP4, and the one- and two-bit
// types. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "llmq/core/half.hpp"

#include "quant/blocks.hpp"
#include "quant/codebooks.hpp"
#include "quant/linear_encoder.hpp"
#include "quant/mxfp4.hpp"
#include "quant/reference/decode_blocks.hpp"
#include "quant/reference/families.hpp"
#include "quant/reference/plain_groups.hpp"

namespace llmq {
namespace {

using blocks::kSmall;
using blocks::kSuper;
using codebooks::kFp4Levels;
using codebooks::kIq4Levels;

float iq4_level(int code) { return kIq4Levels[static_cast<std::size_t>(code)]; }
float fp4_level(int code) { return kFp4Levels[static_cast<std::size_t>(code)]; }

void decode_iq4_nl(const blocks::IQ4_NL& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (std::size_t i = 0; i < kSmall; ++i) out[i] = d * iq4_level(nibble(block.qs[i % 16], i / 16));
}

void decode_iq4_xs(const blocks::IQ4_XS& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (std::size_t i = 0; i < kSuper; ++i) {
    const std::size_t group = i / 32;
    const int scale =
        nibble(block.scales_low[group / 2], group % 2) + 16 * ((block.scales_high >> (2 * group)) & 3) - 32;
    out[i] = d * static_cast<float>(scale) * iq4_level(nibble(block.qs[16 * group + i % 16], i % 32 / 16));
  }
}

void decode_mxfp4(const blocks::MXFP4& block, float* out) {
  const float scale = std::ldexp(1.0F, static_cast<int>(block.e) - 128);
  for (std::size_t i = 0; i < kSmall; ++i) out[i] = scale * fp4_level(nibble(block.qs[i % 16], i / 16));
}

/// Half of an unsigned float of four exponent and three mantissa bits (bias 7); the highest code is no
/// number.
float nvfp4_scale(std::uint8_t code) {
  const int exponent = (code >> 3) & 15;
  const int mantissa = code & 7;
  if (code == 0x7F) return 0;
  if (exponent == 0) return std::ldexp(static_cast<float>(mantissa), -10);
  return std::ldexp(1 + static_cast<float>(mantissa) / 8, exponent - 8);
}

constexpr std::size_t kNvfp4Elems = 64;
void decode_nvfp4(const blocks::NVFP4& block, float* out) {
  for (std::size_t i = 0; i < kNvfp4Elems; ++i) {
    const std::size_t group = i / 16, r = i % 16;
    out[i] = nvfp4_scale(block.scales[group]) * fp4_level(nibble(block.qs[8 * group + r % 8], r / 8));
  }
}

constexpr std::size_t kQ1Elems = 128;
void decode_q1_0(const blocks::Q1_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (std::size_t i = 0; i < kQ1Elems; ++i) out[i] = ((block.bits[i / 8] >> (i % 8)) & 1) != 0 ? d : -d;
}

constexpr std::size_t kQ2Elems = 64;
void decode_q2_0(const blocks::Q2_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (std::size_t i = 0; i < kQ2Elems; ++i) {
    out[i] = d * static_cast<float>(((block.qs[i / 4] >> (2 * (i % 4))) & 3) - 1);
  }
}

/// Nearest doubled four-bit float to a magnitude.
float nearest_fp4(float value) noexcept {
  if (value >= 10) return 12;
  return value >= 3.5F ? std::min(2 * round_even(0.5F * value), 8.0F) : round_even(value);
}

/// Of the exponent that just clips the largest value and those beside it, the one with the smallest error.
void encode_mxfp4(std::span<const float> row, std::span<const float> importance,
                  std::span<std::byte> out) noexcept {
  for (std::size_t index = 0; index < row.size() / kSmall; ++index) {
    const float* x = row.data() + index * kSmall;
    float weights[kSmall];
    weigh_block<kSmall, kSmall>(kMxfp4Objective, x, importance_of(importance, index * kSmall, kSmall), 0,
                                weights);
    float top = 0;
    for (std::size_t i = 0; i < kSmall; ++i) top = std::max(top, std::fabs(x[i]));
    const int clipping = mxfp4_exponent(top);
    int exponent = clipping;
    float best = std::numeric_limits<float>::infinity();
    for (const int beside : {0, 1, -1}) {
      const int tried = std::clamp(clipping + beside, kMxfp4LowestExponent, kMxfp4HighestExponent);
      const float scale = mxfp4_scale(tried), inverse = 1 / scale;
      std::array<float, kPartialSums> error{};
      for (std::size_t i = 0; i < kSmall; ++i) {
        const float magnitude = std::fabs(x[i]);
        const float difference = magnitude - scale * nearest_fp4(magnitude * inverse);
        error[i % kPartialSums] += weights[i] * (difference * difference);
      }
      const float sum = tree_sum(error);
      if (sum < best) best = sum, exponent = tried;
    }
    blocks::MXFP4 block{};
    block.e = static_cast<std::uint8_t>(top > 0 ? exponent : 0);
    std::uint8_t codes[kSmall];
    const float inverse = 1 / mxfp4_scale(exponent);
    for (std::size_t i = 0; i < kSmall; ++i) {
      const auto level = static_cast<std::size_t>(nearest_fp4(std::fabs(x[i]) * inverse));
      codes[i] = static_cast<std::uint8_t>(kFp4CodeOfLevel[level] | (x[i] < 0 && level != 0 ? 8 : 0));
    }
    packing::pack_nibbles(codes, block.qs);
    std::memcpy(out.data() + index * sizeof block, &block, sizeof block);
  }
}

}  // namespace

const std::array<Codec, 6> kLevelCodecs = {{
    {GgmlType::IQ4_NL, &decode_blocks<blocks::IQ4_NL, kSmall, &decode_iq4_nl>,
     &encode_linear_row<ShapeIQ4_NL, reference::SignedGroups<ShapeIQ4_NL>>},
    {GgmlType::IQ4_XS, &decode_blocks<blocks::IQ4_XS, kSuper, &decode_iq4_xs>,
     &encode_linear_row<ShapeIQ4_XS, reference::SignedGroups<ShapeIQ4_XS>>},
    {GgmlType::MXFP4, &decode_blocks<blocks::MXFP4, kSmall, &decode_mxfp4>, &encode_mxfp4},
    {GgmlType::NVFP4, &decode_blocks<blocks::NVFP4, kNvfp4Elems, &decode_nvfp4>, nullptr},
    {GgmlType::Q1_0, &decode_blocks<blocks::Q1_0, kQ1Elems, &decode_q1_0>, nullptr},
    {GgmlType::Q2_0, &decode_blocks<blocks::Q2_0, kQ2Elems, &decode_q2_0>, nullptr},
}};

}  // namespace llmq
