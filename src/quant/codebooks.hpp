// The codebooks of the grid types, unpacked for decoding and searching. docs/formats/blocks.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "quant/shared_maxima.hpp"

namespace llmq::codebooks {

/// Entries of one codeword: eight for IQ1 and IQ2, four (the rest 0) for IQ3.
using Codeword = std::array<std::int8_t, 8>;

std::span<const Codeword> iq1() noexcept;      ///< 2048, values -1, 0, 1
std::span<const Codeword> iq2_xxs() noexcept;  ///< 256, values 8, 25, 43
std::span<const Codeword> iq2_xs() noexcept;   ///< 512
std::span<const Codeword> iq2_s() noexcept;    ///< 1024
std::span<const Codeword> iq3_xxs() noexcept;  ///< 256, values 4, 12, ..., 52, 62
std::span<const Codeword> iq3_s() noexcept;    ///< 512, values 1, 3, ..., 15

/// A codeword as two halves: each the number of its levels, the first one most significant, of four levels
/// out of three (IQ2) or two out of eight (IQ3).
struct HalfPair {
  std::uint8_t first, second;
};
std::span<const HalfPair> iq2_xxs_halves() noexcept;
std::span<const HalfPair> iq2_xs_halves() noexcept;
std::span<const HalfPair> iq2_s_halves() noexcept;
std::span<const HalfPair> iq3_xxs_halves() noexcept;
std::span<const HalfPair> iq3_s_halves() noexcept;

/// A codebook for a search in which what a codeword is worth is the sum of what its halves are worth: the
/// best second half behind every first half, then the best of these.
class ByFirstHalf {
 public:
  /// A first half that codewords have. Its best second half scores as the best of `places` of seconds().
  struct Lead {
    std::uint8_t first = 0;
    std::span<const SharedMaxima::Place> places;
  };
  static constexpr std::uint16_t kNoWord = 0xffff;

  /// @param patterns  of half a codeword
  ByFirstHalf(std::span<const HalfPair> halves, std::size_t patterns);
  ByFirstHalf(const ByFirstHalf&) = delete;  // leads refer to seconds
  ByFirstHalf& operator=(const ByFirstHalf&) = delete;

  /// From few places to many: loops over them end predictably.
  std::span<const Lead> leads() const noexcept { return leads_; }
  /// Over second halves.
  const SharedMaxima& seconds() const noexcept { return seconds_; }
  /// Number of the codeword of two halves, or kNoWord.
  std::uint16_t word(std::size_t first, std::size_t second) const noexcept {
    return words_[first * seconds_.values() + second];
  }

 private:
  SharedMaxima seconds_;
  std::vector<Lead> leads_;
  std::vector<std::uint16_t> words_;
};

/// Levels of the codewords, ascending.
inline constexpr std::array<std::int8_t, 3> kIq2Levels = {8, 25, 43};
inline constexpr std::array<std::int8_t, 8> kIq3XxsLevels = {4, 12, 20, 28, 36, 44, 52, 62};
inline constexpr std::array<std::int8_t, 8> kIq3SLevels = {1, 3, 5, 7, 9, 11, 13, 15};

/// Eight values of -1, 0, 1 as two bits each: 0 is -1, 1 and 2 are 0, 3 is 1. Which of the two zeros says
/// where the value would go next, so that flipping the lower bit moves any value to its second best.
inline constexpr std::array<std::int8_t, 4> kTernaryOfCode = {-1, 0, 0, 1};
/// Two of eight values, in order.
inline constexpr std::array<std::array<std::uint8_t, 2>, 28> kTernaryPairs = [] {
  std::array<std::array<std::uint8_t, 2>, 28> pairs{};
  std::size_t count = 0;
  for (std::uint8_t e = 0; e < 8; ++e) {
    for (std::uint8_t f = static_cast<std::uint8_t>(e + 1); f < 8; ++f) pairs[count++] = {e, f};
  }
  return pairs;
}();
/// What may be flipped at once: nothing, one value, two values. Bit 2e: value e. From every code, one of
/// these leads to a codeword of IQ1 (tests/unit/quant/test_grid.cpp goes through all of them).
inline constexpr std::array<std::int32_t, 37> kTernaryFlips = [] {
  std::array<std::int32_t, 37> flips{};
  std::size_t count = 1;
  for (int e = 0; e < 8; ++e) flips[count++] = 1 << (2 * e);
  for (const auto& [e, f] : kTernaryPairs) flips[count++] = (1 << (2 * e)) | (1 << (2 * f));
  return flips;
}();
/// Of each code c, which flips lead to codewords, the first of them in the sign bit: flips 0 to 8 at 2 c, the
/// others at 2 c + 1.
using TernaryMembers = std::array<std::int32_t, 2 * 65536>;
constexpr std::size_t member_place(std::size_t code, std::size_t flip) noexcept {
  return 2 * code + (flip < 9 ? 0 : 1);
}
constexpr std::uint32_t member_bit(std::size_t flip) noexcept {
  return 0x80000000u >> (flip < 9 ? flip : flip - 9);
}
const TernaryMembers& iq1_members() noexcept;
/// Index of the codeword of a code; -1 where there is none.
std::span<const std::int16_t> iq1_index_of_code() noexcept;  ///< 65536

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
