// Slices of a timeline: bounded in number, complete in sum.
#include <chrono>

#include <gtest/gtest.h>

#include "llmq/pipeline/timeline.hpp"

namespace llmq {
namespace {

using namespace std::chrono_literals;

TEST(Timeline, a_long_span_is_spread_over_a_bounded_number_of_slices) {
  Timeline timeline(2);
  const auto start = Timeline::Clock::now();

  timeline.add(Activity::compute, start + 1s, start + 1001s);
  timeline.add(Activity::read, start, start + 1s);
  const auto all = timeline.gather(Communicator::serial());

  ASSERT_EQ(all.size(), 1u);
  EXPECT_NEAR(all[0].total(Activity::compute), 1000.0, 1e-6);
  EXPECT_NEAR(all[0].total(Activity::read), 1.0, 1e-6);
  EXPECT_GE(all[0].slice_seconds * 64, 1000.0);
  for (const auto& slice : all[0].slices) EXPECT_LE(slice[1], all[0].slice_seconds + 1e-9);
}

TEST(Timeline, what_is_left_of_threads_and_time_is_waiting) {
  RankTimeline one;
  one.threads = 2;
  one.seconds = 4;
  one.slice_seconds = 2;
  one.slices = {{3.0, 0.5, 0.0}, {0.0, 0.5, 0.1}};

  EXPECT_DOUBLE_EQ(one.wait(), 8 - 3 - 1 - 0.1);
  EXPECT_EQ(one.letters(), "r.");
}

TEST(Timeline, spans_before_the_start_count_from_the_start) {
  Timeline timeline(1);
  const auto now = Timeline::Clock::now();

  timeline.add(Activity::write, now - 10s, now - 5s);

  EXPECT_EQ(timeline.gather(Communicator::serial())[0].total(Activity::write), 0.0);
}

}  // namespace
}  // namespace llmq
