// Bytes that are there, bytes that are missing, and the requests for them.
#include <gtest/gtest.h>

#include "hub/intervals.hpp"

namespace llmq::hub {
void PrintTo(const Interval& interval, std::ostream* out) {
  *out << "[" << interval.begin << ", " << interval.end << ")";
}
}  // namespace llmq::hub

namespace {
using namespace llmq::hub;
using List = std::vector<Interval>;

TEST(IntervalsTest, touching_and_overlapping_become_one_in_any_order) {
  Intervals set;
  for (const Interval one : List{{10, 20}, {40, 50}, {20, 25}, {5, 12}, {24, 41}}) set.add(one);

  EXPECT_EQ(set.total(), 45u);
  EXPECT_EQ(set.missing(60), (List{{0, 5}, {50, 60}}));
}

TEST(IntervalsTest, missing_fits_the_size) {
  Intervals set;
  EXPECT_EQ(set.missing(0), List{});
  EXPECT_EQ(set.missing(7), (List{{0, 7}}));
  set.add({3, 3});
  set.add({4, 100});

  EXPECT_EQ(set.missing(7), (List{{0, 4}}));
  EXPECT_EQ(set.missing(4), (List{{0, 4}}));
  EXPECT_EQ(set.missing(101), (List{{0, 4}, {100, 101}}));
}

TEST(IntervalsTest, same_as_a_bitmap_after_random_additions) {
  std::uint32_t state = 1;
  const auto next = [&](std::uint32_t most) {
    return (state = state * 1664525u + 1013904223u) / 65536 % most;
  };
  for (int round = 0; round < 200; ++round) {
    Intervals set;
    std::vector<bool> bitmap(64, false);
    for (int i = 0; i < 12; ++i) {
      const std::uint64_t begin = next(64), end = std::min<std::uint64_t>(64, begin + next(9));
      set.add({begin, end});
      for (std::uint64_t at = begin; at < end; ++at) bitmap[at] = true;
    }
    std::vector<bool> found(64, true);
    for (const Interval& gap : set.missing(64))
      for (std::uint64_t at = gap.begin; at < gap.end; ++at) found[at] = false;
    EXPECT_EQ(found, bitmap);
  }
}

TEST(IntervalsTest, requests_cover_what_is_missing_once) {
  EXPECT_EQ(plan_requests({{0, 5}, {9, 10}}, 3), (List{{0, 3}, {3, 5}, {9, 10}}));
  EXPECT_EQ(plan_requests({}, 3), List{});
}

TEST(IntervalsTest, pieces_grow_with_the_file) {
  constexpr std::uint64_t kMebibyte = 1 << 20;
  EXPECT_EQ(piece_bytes(0), 2 * kMebibyte);
  EXPECT_EQ(piece_bytes(512 * kMebibyte), 32 * kMebibyte);
  EXPECT_EQ(piece_bytes(50000 * kMebibyte), 64 * kMebibyte);
}

}  // namespace
