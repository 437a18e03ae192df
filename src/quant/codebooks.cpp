#include "quant/codebooks.hpp"

#include "quant/codebook_words.hpp"

namespace llmq::codebooks {
namespace {

/// Codewords of `entries` values; level k of a word, `bits` wide, stands for levels[k].
template <std::size_t Count, std::size_t Levels>
std::array<Codeword, Count> unpack(const std::array<std::uint16_t, Count>& words, std::size_t entries,
                                   unsigned bits, const std::array<std::int8_t, Levels>& levels) {
  std::array<Codeword, Count> table{};
  for (std::size_t index = 0; index < Count; ++index) {
    for (std::size_t j = 0; j < entries; ++j) {
      table[index][j] = levels[(std::uint32_t{words[index]} >> (bits * j)) & ((1u << bits) - 1)];
    }
  }
  return table;
}

constexpr std::array<std::int8_t, 4> kTernary = {-1, 0, 1, 0};
constexpr std::array<std::int8_t, 4> kIq2Levels = {8, 25, 43, 0};
constexpr std::array<std::int8_t, 8> kIq3XxsLevels = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr std::array<std::int8_t, 8> kIq3SLevels = {1, 3, 5, 7, 9, 11, 13, 15};

}  // namespace

std::span<const Codeword> iq1() noexcept {
  static const auto table = unpack(kIq1Words, 8, 2, kTernary);
  return table;
}
std::span<const Codeword> iq2_xxs() noexcept {
  static const auto table = unpack(kIq2XxsWords, 8, 2, kIq2Levels);
  return table;
}
std::span<const Codeword> iq2_xs() noexcept {
  static const auto table = unpack(kIq2XsWords, 8, 2, kIq2Levels);
  return table;
}
std::span<const Codeword> iq2_s() noexcept {
  static const auto table = unpack(kIq2SWords, 8, 2, kIq2Levels);
  return table;
}
std::span<const Codeword> iq3_xxs() noexcept {
  static const auto table = unpack(kIq3XxsWords, 4, 3, kIq3XxsLevels);
  return table;
}
std::span<const Codeword> iq3_s() noexcept {
  static const auto table = unpack(kIq3SWords, 4, 3, kIq3SLevels);
  return table;
}

}  // namespace llmq::codebooks
