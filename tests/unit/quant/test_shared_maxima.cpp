#include <algorithm>
#include <cstdint>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "quant/codebooks.hpp"
#include "quant/half_scores.hpp"
#include "quant/shared_maxima.hpp"

namespace llmq {
namespace {

using Sets = std::vector<std::vector<SharedMaxima::Place>>;

/// Values at all places of a plan.
std::vector<int> values_at(const SharedMaxima& plan, std::vector<int> values) {
  for (const auto [a, b] : plan.pairs()) values.push_back(std::max(values.at(a), values.at(b)));
  return values;
}

std::size_t comparisons(const SharedMaxima& plan, std::size_t sets) {
  std::size_t count = plan.pairs().size();
  for (std::size_t set = 0; set < sets; ++set) count += std::max<std::size_t>(plan.left(set).size(), 1) - 1;
  return count;
}

TEST(SharedMaxima, finds_the_largest_value_of_every_set) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 20; ++trial) {
    Sets sets(30);
    for (auto& set : sets) {
      for (SharedMaxima::Place value = 0; value < 40; ++value) {
        if (random() % 3 == 0) set.push_back(value);
      }
      if (set.empty()) set.push_back(7);
    }
    const SharedMaxima plan(40, sets);
    std::vector<int> values(40);
    for (int& value : values) value = static_cast<int>(random() % 1000);
    const std::vector<int> at = values_at(plan, values);
    ASSERT_EQ(at.size(), plan.places());
    for (std::size_t set = 0; set < sets.size(); ++set) {
      int expected = -1, found = -1;
      for (const auto value : sets[set]) expected = std::max(expected, values[value]);
      for (const auto place : plan.left(set)) found = std::max(found, at[place]);
      EXPECT_EQ(found, expected);
    }
  }
}

TEST(SharedMaxima, compares_what_sets_share_once) {
  const SharedMaxima plan(5, {{0, 1, 2}, {0, 1, 2}, {0, 1, 2, 3}, {4}});
  EXPECT_EQ(comparisons(plan, 4), 3U);  // one by one: 7
  const SharedMaxima nothing_shared(4, {{0, 1}, {2, 3}, {}});
  EXPECT_TRUE(nothing_shared.pairs().empty());
  EXPECT_TRUE(nothing_shared.left(2).empty());
}

struct Book {
  std::span<const codebooks::HalfPair> halves;
  std::size_t patterns, most;  ///< most comparisons that are expected
};

/// 944, 448, 196 comparisons if every first half looked through its second halves.
TEST(ByFirstHalf, holds_every_codeword_and_saves_comparisons) {
  const Book books[] = {{codebooks::iq2_s_halves(), 81, 200},
                        {codebooks::iq3_s_halves(), 64, 290},
                        {codebooks::iq3_xxs_halves(), 64, 140}};
  for (const auto& [halves, patterns, most] : books) {
    const codebooks::ByFirstHalf book(halves, patterns);
    EXPECT_LE(comparisons(book.seconds(), patterns), most);
    EXPECT_LE(book.seconds().places(), kMaxPlaces);
    std::size_t words = 0;
    for (std::size_t first = 0; first < patterns; ++first) {
      for (std::size_t second = 0; second < patterns; ++second) {
        const std::uint16_t word = book.word(first, second);
        if (word == codebooks::ByFirstHalf::kNoWord) continue;
        ++words;
        EXPECT_EQ(halves[word].first, first);
        EXPECT_EQ(halves[word].second, second);
      }
    }
    EXPECT_EQ(words, halves.size());
    std::set<unsigned> firsts;
    for (const auto& lead : book.leads()) firsts.insert(lead.first);
    for (const auto& pair : halves) EXPECT_TRUE(firsts.contains(pair.first));
    EXPECT_TRUE(
        std::ranges::is_sorted(book.leads(), {}, [](const auto& lead) { return lead.places.size(); }));
  }
}

}  // namespace
}  // namespace llmq
