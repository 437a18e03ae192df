// Q4_K, Q5_K, Q6_K: super-blocks of 256 with scales quantized a second time.
// First every sub-block finds its own scale (and minimum), then these become 6-bit (Q6_K: 8-bit) multiples of
// one half-precision scale, then the codes are found again for the values that will really be decoded.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "quant/blocks.hpp"
#include "quant/linear_encoder.hpp"
#include "quant/reference/families.hpp"
#include "quant/reference/plain_groups.hpp"

namespace llmq {
namespace {

using blocks::kSuper;

struct ScaleMinCodes {
  std::array<std::uint8_t, 8> scale{};
  std::array<std::uint8_t, 8> min{};
};

/// Eight 6-bit pairs in 12 bytes: the first four plain, the high bits of the last four spread over the first
/// eight.
ScaleMinCodes unpack_scales(const std::uint8_t* in) noexcept {
  ScaleMinCodes codes;
  for (std::size_t j = 0; j < 4; ++j) {
    codes.scale[j] = in[j] & 63;
    codes.min[j] = in[j + 4] & 63;
    codes.scale[j + 4] = static_cast<std::uint8_t>((in[j + 8] & 15) | ((in[j] >> 6) << 4));
    codes.min[j + 4] = static_cast<std::uint8_t>((in[j + 8] >> 4) | ((in[j + 4] >> 6) << 4));
  }
  return codes;
}

template <typename Block>
void decode_scale_min(std::span<const std::byte> bytes, std::span<float> out) noexcept {
  for (std::size_t index = 0; index < out.size() / kSuper; ++index) {
    Block block;
    std::memcpy(&block, bytes.data() + index * sizeof(Block), sizeof(Block));
    const ScaleMinCodes pairs = unpack_scales(block.scales);
    const float d = f16_to_f32(block.d);
    const float dmin = f16_to_f32(block.dmin);
    for (std::size_t j = 0; j < 8; ++j) {
      const float scale = d * static_cast<float>(pairs.scale[j]);
      const float minimum = dmin * static_cast<float>(pairs.min[j]);
      for (std::size_t l = 0; l < 32; ++l) {
        int code = (block.qs[j / 2 * 32 + l] >> (4 * (j % 2))) & 15;
        if constexpr (packing::kHasHighBits<Block>) code += ((block.qh[l] >> j) & 1) << 4;
        out[index * kSuper + j * 32 + l] = scale * static_cast<float>(code) - minimum;
      }
    }
  }
}

void decode_q6_k(std::span<const std::byte> bytes, std::span<float> out) noexcept {
  for (std::size_t index = 0; index < out.size() / kSuper; ++index) {
    blocks::Q6_K block;
    std::memcpy(&block, bytes.data() + index * sizeof block, sizeof block);
    const float d = f16_to_f32(block.d);
    for (std::size_t i = 0; i < kSuper; ++i) {
      const std::size_t half = i / 128, s = i % 128 / 32, l = i % 32;
      const int low = (block.ql[64 * half + 32 * (s % 2) + l] >> (4 * (s / 2))) & 15;
      const int high = (block.qh[32 * half + l] >> (2 * s)) & 3;
      out[index * kSuper + i] =
          d * static_cast<float>(block.scales[i / 16]) * static_cast<float>(low + 16 * high - 32);
    }
  }
}

}  // namespace

const std::array<Codec, 3> kKCodecs = {{
    {GgmlType::Q4_K, &decode_scale_min<blocks::Q4_K>,
     &encode_linear_row<ShapeQ4_K, reference::AffineGroups<ShapeQ4_K>>},
    {GgmlType::Q5_K, &decode_scale_min<blocks::Q5_K>,
     &encode_linear_row<ShapeQ5_K, reference::AffineGroups<ShapeQ5_K>>},
    {GgmlType::Q6_K, &decode_q6_k, &encode_linear_row<ShapeQ6_K, reference::SignedGroups<ShapeQ6_K>>},
}};

}  // namespace llmq
