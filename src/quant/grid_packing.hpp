// Choices of the grid types into blocks. Layouts: docs/formats/blocks.md. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include "quant/grid_choice.hpp"
#include "quant/packing.hpp"

namespace llmq::packing {

/// Four codes of seven signs and a scale of four bits in one word.
inline std::uint32_t signs_and_scale(const GridChoice& choice, std::size_t group) noexcept {
  auto word = static_cast<std::uint32_t>(choice.scales[group]) << 28;
  for (std::size_t k = 0; k < 4; ++k) word |= (choice.signs[4 * group + k] & 127u) << (7 * k);
  return word;
}

/// Two scales of four bits a byte.
inline std::uint8_t scale_pair(const GridChoice& choice, std::size_t pair) noexcept {
  return byte(static_cast<std::uint32_t>(choice.scales[2 * pair]) |
              (static_cast<std::uint32_t>(choice.scales[2 * pair + 1]) << 4));
}

inline void pack(const GridChoice& choice, blocks::IQ2_XXS& block) noexcept {
  block.d = choice.d;
  for (std::size_t g = 0; g < 8; ++g) {
    const std::uint16_t* words = choice.words.data() + 4 * g;
    std::uint16_t* out = block.qs + 4 * g;
    const std::uint32_t tail = signs_and_scale(choice, g);
    out[0] = static_cast<std::uint16_t>(words[0] | (words[1] << 8));
    out[1] = static_cast<std::uint16_t>(words[2] | (words[3] << 8));
    out[2] = static_cast<std::uint16_t>(tail & 0xFFFFu);
    out[3] = static_cast<std::uint16_t>(tail >> 16);
  }
}

inline void pack(const GridChoice& choice, blocks::IQ2_XS& block) noexcept {
  block.d = choice.d;
  for (std::size_t k = 0; k < 32; ++k) {
    block.qs[k] = static_cast<std::uint16_t>(choice.words[k] | ((choice.signs[k] & 127u) << 9));
  }
  for (std::size_t j = 0; j < 8; ++j) block.scales[j] = scale_pair(choice, j);
}

inline void pack(const GridChoice& choice, blocks::IQ2_S& block) noexcept {
  block.d = choice.d;
  std::memset(block.qh, 0, sizeof block.qh);
  for (std::size_t k = 0; k < 32; ++k) {
    block.qs[k] = byte(choice.words[k]);
    block.signs[k] = choice.signs[k];
    block.qh[k / 4] = byte(block.qh[k / 4] | ((std::uint32_t{choice.words[k]} >> 8) << (2 * (k % 4))));
  }
  for (std::size_t j = 0; j < 8; ++j) block.scales[j] = scale_pair(choice, j);
}

inline void pack(const GridChoice& choice, blocks::IQ3_XXS& block) noexcept {
  block.d = choice.d;
  for (std::size_t a = 0; a < 64; ++a) block.qs[a] = byte(choice.words[a]);
  for (std::size_t g = 0; g < 8; ++g) {
    const std::uint32_t tail = signs_and_scale(choice, g);
    std::memcpy(block.signs_scales + 4 * g, &tail, sizeof tail);
  }
}

inline void pack(const GridChoice& choice, blocks::IQ3_S& block) noexcept {
  block.d = choice.d;
  std::memset(block.qh, 0, sizeof block.qh);
  for (std::size_t a = 0; a < 64; ++a) {
    block.qs[a] = byte(choice.words[a]);
    block.qh[a / 8] = byte(block.qh[a / 8] | ((std::uint32_t{choice.words[a]} >> 8) << (a % 8)));
  }
  for (std::size_t k = 0; k < 32; ++k) block.signs[k] = choice.signs[k];
  for (std::size_t j = 0; j < 4; ++j) block.scales[j] = scale_pair(choice, j);
}

inline void pack(const GridChoice& choice, blocks::IQ1_S& block) noexcept {
  block.d = choice.d;
  for (std::size_t g = 0; g < 8; ++g) {
    std::uint32_t high = static_cast<std::uint32_t>(choice.scales[g]) << 12;
    if (choice.negative_shift[4 * g] != 0) high |= 0x8000u;
    for (std::size_t t = 0; t < 4; ++t) {
      block.qs[4 * g + t] = byte(choice.words[4 * g + t]);
      high |= (std::uint32_t{choice.words[4 * g + t]} >> 8) << (3 * t);
    }
    block.qh[g] = static_cast<std::uint16_t>(high);
  }
}

inline void pack(const GridChoice& choice, blocks::IQ1_M& block) noexcept {
  std::memset(block.qh, 0, sizeof block.qh);
  for (std::size_t k = 0; k < 32; ++k) {
    block.qs[k] = byte(choice.words[k]);
    const std::uint32_t high =
        (std::uint32_t{choice.words[k]} >> 8) | (choice.negative_shift[k] != 0 ? 8u : 0u);
    block.qh[k / 2] = byte(block.qh[k / 2] | (high << (4 * (k % 2))));
  }
  for (std::size_t word = 0; word < 4; ++word) {  // the unit is spread over the top four bits
    std::uint32_t bits = ((std::uint32_t{choice.d} >> (4 * word)) & 15u) << 12;
    for (std::size_t j = 0; j < 4; ++j)
      bits |= static_cast<std::uint32_t>(choice.scales[4 * word + j]) << (3 * j);
    block.scales[word] = static_cast<std::uint16_t>(bits);
  }
}

}  // namespace llmq::packing
