// Runs a decoder of one block over a row. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace llmq {

/// Bits 4k .. 4k + 3.
constexpr int nibble(std::uint8_t byte, std::size_t k) noexcept { return (byte >> (4 * k)) & 15; }
/// Two bits of element i in the planes of a super-block: 32 bytes hold four planes of 32 elements.
constexpr int two_bits(const std::uint8_t* planes, std::size_t i) noexcept {
  return (planes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
}

template <typename Block, std::size_t Elems, void (*DecodeBlock)(const Block&, float*)>
void decode_blocks(std::span<const std::byte> bytes, std::span<float> out) noexcept {
  for (std::size_t index = 0; index < out.size() / Elems; ++index) {
    Block block;
    std::memcpy(&block, bytes.data() + index * sizeof block, sizeof block);
    DecodeBlock(block, out.data() + index * Elems);
  }
}

}  // namespace llmq
