// The codebooks of the grid types, unpacked for decoding and searching. docs/formats/blocks.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>

namespace llmq::codebooks {

/// Entries of one codeword: eight for IQ1 and IQ2, four (the rest 0) for IQ3.
using Codeword = std::array<std::int8_t, 8>;

std::span<const Codeword> iq1() noexcept;      ///< 2048, values -1, 0, 1
std::span<const Codeword> iq2_xxs() noexcept;  ///< 256, values 8, 25, 43
std::span<const Codeword> iq2_xs() noexcept;   ///< 512
std::span<const Codeword> iq2_s() noexcept;    ///< 1024
std::span<const Codeword> iq3_xxs() noexcept;  ///< 256, values 4, 12, ..., 52, 62
std::span<const Codeword> iq3_s() noexcept;    ///< 512, values 1, 3, ..., 15

/// Levels of IQ4_NL and IQ4_XS.
inline constexpr std::array<std::int8_t, 16> kIq4Levels = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                           1,    13,   25,  38,  53,  69,  89,  113};
/// Doubled values of the four-bit floats of MXFP4 and NVFP4.
inline constexpr std::array<std::int8_t, 16> kFp4Levels = {0, 1,  2,  3,  4,  6,  8,  12,
                                                           0, -1, -2, -3, -4, -6, -8, -12};

/// Bit j set: element j of a group of eight is negative. Seven stored bits, the eighth makes their number
/// even.
constexpr std::uint8_t even_signs(std::uint32_t code) noexcept {
  return static_cast<std::uint8_t>(code | ((static_cast<std::uint32_t>(std::popcount(code)) & 1u) << 7));
}

}  // namespace llmq::codebooks
