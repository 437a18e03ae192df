// Choices into blocks. Layouts: docs/formats/blocks.md. Inline, because the vector encoders compile them for
// their own instruction set. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>

#include "quant/choice.hpp"

namespace llmq::packing {

using blocks::kSuper;

inline std::uint8_t byte(std::uint32_t value) noexcept { return static_cast<std::uint8_t>(value); }

template <class Block>
inline constexpr bool kHasHighBits = requires(Block block) {
  block.qh[0];
};
template <class Block>
inline constexpr bool kHasOffset = requires(Block block) {
  block.m;
};

/// Sixteen nibble pairs: element i in the low, i + 16 in the high half of byte i.
inline void pack_nibbles(const std::uint8_t* codes, std::uint8_t* out) noexcept {
  for (std::size_t i = 0; i < 16; ++i) {
    out[i] = byte((codes[i] & 15u) | ((codes[i + 16] & 15u) << 4));
  }
}

/// Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL.
template <class Block>
inline void pack_small(const Choice& choice, Block& block) noexcept {
  block.d = choice.d;
  if constexpr (kHasOffset<Block>) block.m = choice.dmin;
  pack_nibbles(choice.codes.data(), block.qs);
  if constexpr (kHasHighBits<Block>) {
    std::uint32_t high = 0;
    for (std::size_t i = 0; i < blocks::kSmall; ++i) high |= (std::uint32_t{choice.codes[i]} >> 4) << i;
    std::memcpy(block.qh, &high, sizeof high);
  }
}
inline void pack(const Choice& choice, blocks::Q4_0& block) noexcept { pack_small(choice, block); }
inline void pack(const Choice& choice, blocks::Q4_1& block) noexcept { pack_small(choice, block); }
inline void pack(const Choice& choice, blocks::Q5_0& block) noexcept { pack_small(choice, block); }
inline void pack(const Choice& choice, blocks::Q5_1& block) noexcept { pack_small(choice, block); }
inline void pack(const Choice& choice, blocks::IQ4_NL& block) noexcept { pack_small(choice, block); }

/// The two-bit plane of Q2_K, Q3_K, TQ2_0: element 128h + 32s + l is bits 2s of byte 32h + l.
inline void pack_two_bits(const std::uint8_t* codes, std::uint8_t* out) noexcept {
  for (std::size_t half = 0; half < 2; ++half) {
    const std::uint8_t* from = codes + 128 * half;
    for (std::size_t l = 0; l < 32; ++l) {
      out[32 * half + l] = byte((from[l] & 3u) | ((from[l + 32] & 3u) << 2) | ((from[l + 64] & 3u) << 4) |
                                ((from[l + 96] & 3u) << 6));
    }
  }
}

inline void pack(const Choice& choice, blocks::Q2_K& block) noexcept {
  block.d = choice.d;
  block.dmin = choice.dmin;
  for (std::size_t j = 0; j < 16; ++j) {
    block.scales[j] = byte(static_cast<std::uint32_t>(choice.scales[j]) |
                           (static_cast<std::uint32_t>(choice.minima[j]) << 4));
  }
  pack_two_bits(choice.codes.data(), block.qs);
}

inline void pack(const Choice& choice, blocks::Q3_K& block) noexcept {
  block.d = choice.d;
  std::fill(std::begin(block.scales), std::end(block.scales), std::uint8_t{0});
  for (std::size_t j = 0; j < 16; ++j) {
    const auto scale = static_cast<std::uint32_t>(choice.scales[j] + 32);
    block.scales[j % 8] = byte(block.scales[j % 8] | ((scale & 15u) << (4 * (j / 8))));
    block.scales[8 + j % 4] = byte(block.scales[8 + j % 4] | ((scale >> 4) << (2 * (j / 4))));
  }
  pack_two_bits(choice.codes.data(), block.qs);
  for (std::size_t l = 0; l < 32; ++l) {
    std::uint32_t mask = 0;
    for (std::size_t bit = 0; bit < 8; ++bit) mask |= (std::uint32_t{choice.codes[32 * bit + l]} >> 2) << bit;
    block.hmask[l] = byte(mask);
  }
}

/// Eight 6-bit pairs in 12 bytes: the first four plain, the high bits of the last four spread over the first
/// eight.
inline void pack_pairs(const Choice& choice, std::uint8_t* out) noexcept {
  for (std::size_t j = 0; j < 4; ++j) {
    const auto scale = static_cast<std::uint32_t>(choice.scales[j + 4]);
    const auto minimum = static_cast<std::uint32_t>(choice.minima[j + 4]);
    out[j] = byte(static_cast<std::uint32_t>(choice.scales[j]) | ((scale >> 4) << 6));
    out[j + 4] = byte(static_cast<std::uint32_t>(choice.minima[j]) | ((minimum >> 4) << 6));
    out[j + 8] = byte((scale & 15u) | ((minimum & 15u) << 4));
  }
}

/// Q4_K, Q5_K.
template <class Block>
inline void pack_pair_block(const Choice& choice, Block& block) noexcept {
  block.d = choice.d;
  block.dmin = choice.dmin;
  pack_pairs(choice, block.scales);
  for (std::size_t part = 0; part < kSuper / 64; ++part) {
    const std::uint8_t* codes = choice.codes.data() + 64 * part;
    for (std::size_t l = 0; l < 32; ++l) {
      block.qs[32 * part + l] = byte((codes[l] & 15u) | ((codes[l + 32] & 15u) << 4));
    }
  }
  if constexpr (kHasHighBits<Block>) {
    for (std::size_t l = 0; l < 32; ++l) {
      std::uint32_t high = 0;
      for (std::size_t bit = 0; bit < 8; ++bit)
        high |= (std::uint32_t{choice.codes[32 * bit + l]} >> 4) << bit;
      block.qh[l] = byte(high);
    }
  }
}
inline void pack(const Choice& choice, blocks::Q4_K& block) noexcept { pack_pair_block(choice, block); }
inline void pack(const Choice& choice, blocks::Q5_K& block) noexcept { pack_pair_block(choice, block); }

inline void pack(const Choice& choice, blocks::Q6_K& block) noexcept {
  block.d = choice.d;
  for (std::size_t j = 0; j < 16; ++j) block.scales[j] = static_cast<std::int8_t>(choice.scales[j]);
  for (std::size_t half = 0; half < 2; ++half) {
    const std::uint8_t* codes = choice.codes.data() + 128 * half;
    for (std::size_t l = 0; l < 64; ++l) {
      block.ql[64 * half + l] = byte((codes[l] & 15u) | ((codes[l + 64] & 15u) << 4));
    }
    for (std::size_t l = 0; l < 32; ++l) {
      block.qh[32 * half + l] =
          byte((codes[l] >> 4) | ((std::uint32_t{codes[l + 32]} >> 4) << 2) |
               ((std::uint32_t{codes[l + 64]} >> 4) << 4) | ((std::uint32_t{codes[l + 96]} >> 4) << 6));
    }
  }
}

inline void pack(const Choice& choice, blocks::IQ4_XS& block) noexcept {
  block.d = choice.d;
  block.scales_high = 0;
  std::fill(std::begin(block.scales_low), std::end(block.scales_low), std::uint8_t{0});
  for (std::size_t j = 0; j < 8; ++j) {
    const auto scale = static_cast<std::uint32_t>(choice.scales[j] + 32);
    block.scales_low[j / 2] = byte(block.scales_low[j / 2] | ((scale & 15u) << (4 * (j % 2))));
    block.scales_high = static_cast<std::uint16_t>(block.scales_high | ((scale >> 4) << (2 * j)));
    pack_nibbles(choice.codes.data() + 32 * j, block.qs + 16 * j);
  }
}

}  // namespace llmq::packing
