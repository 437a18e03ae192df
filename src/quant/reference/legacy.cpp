// Q4_0, Q4_1, Q5_0, Q5_1, Q8_0: blocks of 32 with one scale (and one minimum).
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "quant/blocks.hpp"
#include "quant/linear_encoder.hpp"
#include "quant/reference/families.hpp"
#include "quant/reference/plain_groups.hpp"

namespace llmq {
namespace {

using blocks::kSmall;
using Codes = std::array<std::uint8_t, kSmall>;

/// Copies blocks out of and into byte spans of any alignment.
template <typename Block>
Block load(std::span<const std::byte> bytes, std::size_t index) noexcept {
  Block block;
  std::memcpy(&block, bytes.data() + index * sizeof(Block), sizeof(Block));
  return block;
}
template <typename Block>
void store(const Block& block, std::span<std::byte> bytes, std::size_t index) noexcept {
  std::memcpy(bytes.data() + index * sizeof(Block), &block, sizeof(Block));
}

template <typename Block>
Codes unpack(const Block& block) noexcept {
  Codes codes{};
  for (std::size_t i = 0; i < kSmall / 2; ++i) {
    codes[i] = block.qs[i] & 15;
    codes[i + 16] = block.qs[i] >> 4;
  }
  if constexpr (packing::kHasHighBits<Block>) {
    std::uint32_t high = 0;
    std::memcpy(&high, block.qh, sizeof high);
    for (std::size_t i = 0; i < kSmall; ++i)
      codes[i] = static_cast<std::uint8_t>(codes[i] | (((high >> i) & 1) << 4));
  }
  return codes;
}

template <typename Block>
constexpr int kLevels = packing::kHasHighBits<Block> ? 32 : 16;

template <typename Block>
void decode_linear(std::span<const std::byte> bytes, std::span<float> out) noexcept {
  for (std::size_t index = 0; index < out.size() / kSmall; ++index) {
    const auto block = load<Block>(bytes, index);
    const Codes codes = unpack(block);
    const float d = f16_to_f32(block.d);
    for (std::size_t i = 0; i < kSmall; ++i) {
      if constexpr (packing::kHasOffset<Block>) {
        out[index * kSmall + i] = d * static_cast<float>(codes[i]) + f16_to_f32(block.m);
      } else {
        out[index * kSmall + i] = d * static_cast<float>(codes[i] - kLevels<Block> / 2);
      }
    }
  }
}

void decode_q8_0(std::span<const std::byte> bytes, std::span<float> out) noexcept {
  for (std::size_t index = 0; index < out.size() / kSmall; ++index) {
    const auto block = load<blocks::Q8_0>(bytes, index);
    const float d = f16_to_f32(block.d);
    for (std::size_t i = 0; i < kSmall; ++i) out[index * kSmall + i] = d * static_cast<float>(block.qs[i]);
  }
}

void encode_q8_0(std::span<const float> row, std::span<const float>, std::span<std::byte> out) noexcept {
  for (std::size_t index = 0; index < row.size() / kSmall; ++index) {
    const std::span<const float> x = row.subspan(index * kSmall, kSmall);
    float largest = 0;
    for (const float value : x) largest = std::max(largest, std::fabs(value));
    const float d = largest / 127;
    const float inverse = inverse_of_scale(d);
    blocks::Q8_0 block{};
    block.d = scale_to_half(d);
    for (std::size_t i = 0; i < kSmall; ++i) {
      const float scaled = std::clamp(x[i] * inverse, -127.0F, 127.0F);
      // Half away from zero: truncation after adding half with the value's sign is exact below 2^22.
      const float magnitude = std::fabs(scaled);
      const auto whole = static_cast<float>(static_cast<int>(magnitude));
      const int rounded = static_cast<int>(whole) + (magnitude - whole >= 0.5F ? 1 : 0);
      block.qs[i] = static_cast<std::int8_t>(scaled < 0 ? -rounded : rounded);
    }
    store(block, out, index);
  }
}

}  // namespace

const std::array<Codec, 5> kLegacyCodecs = {{
    {GgmlType::Q4_0, &decode_linear<blocks::Q4_0>,
     &encode_linear_row<ShapeQ4_0, reference::SignedGroups<ShapeQ4_0>>},
    {GgmlType::Q4_1, &decode_linear<blocks::Q4_1>,
     &encode_linear_row<ShapeQ4_1, reference::AffineGroups<ShapeQ4_1>>},
    {GgmlType::Q5_0, &decode_linear<blocks::Q5_0>,
     &encode_linear_row<ShapeQ5_0, reference::SignedGroups<ShapeQ5_0>>},
    {GgmlType::Q5_1, &decode_linear<blocks::Q5_1>,
     &encode_linear_row<ShapeQ5_1, reference::AffineGroups<ShapeQ5_1>>},
    {GgmlType::Q8_0, &decode_q8_0, &encode_q8_0},
}};

}  // namespace llmq
