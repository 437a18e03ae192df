#include "quant/codebooks.hpp"

#include <algorithm>
#include <memory>
#include <vector>

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

/// Halves of `entries / 2` levels each, out of `kinds`.
template <std::size_t Count>
std::array<HalfPair, Count> halve(const std::array<std::uint16_t, Count>& words, unsigned entries,
                                  unsigned bits, unsigned kinds) {
  const auto number = [&](unsigned word, unsigned from) {
    unsigned value = 0;
    for (unsigned j = from; j < from + entries / 2; ++j) {
      value = value * kinds + ((word >> (bits * j)) & ((1u << bits) - 1));
    }
    return static_cast<std::uint8_t>(value);
  };
  std::array<HalfPair, Count> table{};
  for (std::size_t index = 0; index < Count; ++index) {
    table[index] = {number(words[index], 0), number(words[index], entries / 2)};
  }
  return table;
}

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
std::span<const HalfPair> iq2_xxs_halves() noexcept {
  static const auto table = halve(kIq2XxsWords, 8, 2, 3);
  return table;
}
std::span<const HalfPair> iq2_xs_halves() noexcept {
  static const auto table = halve(kIq2XsWords, 8, 2, 3);
  return table;
}
std::span<const HalfPair> iq2_s_halves() noexcept {
  static const auto table = halve(kIq2SWords, 8, 2, 3);
  return table;
}
std::span<const HalfPair> iq3_xxs_halves() noexcept {
  static const auto table = halve(kIq3XxsWords, 4, 3, 8);
  return table;
}
std::span<const HalfPair> iq3_s_halves() noexcept {
  static const auto table = halve(kIq3SWords, 4, 3, 8);
  return table;
}

namespace {

/// Second halves behind every pattern, ascending.
std::vector<std::vector<SharedMaxima::Place>> second_halves(std::span<const HalfPair> halves,
                                                            std::size_t patterns) {
  std::vector<std::vector<SharedMaxima::Place>> seconds(patterns);
  for (const auto [first, second] : halves) seconds[first].push_back(second);
  for (auto& behind : seconds) std::ranges::sort(behind);
  return seconds;
}

}  // namespace

ByFirstHalf::ByFirstHalf(std::span<const HalfPair> halves, std::size_t patterns)
    : seconds_(patterns, second_halves(halves, patterns)), words_(patterns * patterns, kNoWord) {
  for (std::size_t first = 0; first < patterns; ++first) {
    if (!seconds_.left(first).empty())
      leads_.push_back({static_cast<std::uint8_t>(first), seconds_.left(first)});
  }
  std::ranges::stable_sort(leads_, {}, [](const Lead& lead) { return lead.places.size(); });
  for (std::size_t index = 0; index < halves.size(); ++index) {
    const auto [first, second] = halves[index];
    words_[first * patterns + second] = static_cast<std::uint16_t>(index);
  }
}

std::span<const std::int16_t> iq1_index_of_code() noexcept {
  static const auto table = [] {
    std::array<std::int16_t, 6561> of_pattern{};
    of_pattern.fill(-1);
    for (std::size_t index = 0; index < kIq1Words.size(); ++index) {
      std::size_t pattern = 0;
      for (unsigned e = 8; e-- > 0;)
        pattern = 3 * pattern + ((std::uint32_t{kIq1Words[index]} >> (2 * e)) & 3u);
      of_pattern[pattern] = static_cast<std::int16_t>(index);
    }
    std::vector<std::int16_t> of_code(65536);
    for (std::size_t code = 0; code < of_code.size(); ++code) {
      std::size_t pattern = 0;
      for (unsigned e = 8; e-- > 0;) {
        pattern = 3 * pattern + static_cast<std::size_t>(kTernaryOfCode[(code >> (2 * e)) & 3u] + 1);
      }
      of_code[code] = of_pattern[pattern];
    }
    return of_code;
  }();
  return table;
}

const TernaryMembers& iq1_members() noexcept {
  static const auto table = [] {
    auto members = std::make_unique<TernaryMembers>();
    const auto index = iq1_index_of_code();
    for (std::size_t code = 0; code < 65536; ++code) {
      for (std::size_t j = 0; j < kTernaryFlips.size(); ++j) {
        if (index[code ^ static_cast<std::size_t>(kTernaryFlips[j])] < 0) continue;
        std::int32_t& leads = (*members)[member_place(code, j)];
        leads = static_cast<std::int32_t>(static_cast<std::uint32_t>(leads) | member_bit(j));
      }
    }
    return members;
  }();
  return *table;
}

}  // namespace llmq::codebooks
