// The simulator's arithmetic on cases small enough to do by hand.
#include <gtest/gtest.h>

#include "scale/resources.hpp"
#include "scale/simulate_pipeline.hpp"
#include "scale/simulate_units.hpp"

namespace {
using namespace llmq::scale;

Machine local(double cores) {
  Machine machine;
  machine.cores = cores;
  machine.cached = true;
  return machine;
}

double busy(const UnitsOutcome& outcome, Cause cause) {
  return outcome.busy[static_cast<std::size_t>(cause)];
}

std::vector<UnitWork> computing(std::vector<double> seconds) {
  std::vector<UnitWork> work;
  for (const double one : seconds) work.push_back({.cpu_seconds = one});
  return work;
}

TEST(Units, two_ranks_share_four_units_by_the_counter) {
  // Ranks take one unit ahead: 3 and 2 go first, 2 and 1 are queued behind them. Rank 1 is done at 3 and
  // finds nothing; without queues it would have had the second 2 and the end were 4.
  const auto outcome = simulate_units(computing({3, 2, 2, 1}), {{0, 1, 2, 3}}, local(2), {1, 2, 1}, {});

  EXPECT_DOUBLE_EQ(outcome.seconds, 5);
  EXPECT_DOUBLE_EQ(busy(outcome, Cause::compute), 8);
}

TEST(Units, equal_units_are_shared_evenly) {
  EXPECT_DOUBLE_EQ(simulate_units(computing({1, 1, 1, 1}), {{0, 1, 2, 3}}, local(2), {1, 2, 1}, {}).seconds,
                   2);
}

TEST(Units, ranks_beyond_the_cores_wait_for_one) {
  EXPECT_DOUBLE_EQ(simulate_units(computing({1, 1, 1, 1}), {{0, 1, 2, 3}}, local(2), {1, 4, 1}, {}).seconds,
                   2);
  EXPECT_DOUBLE_EQ(simulate_units(computing({1, 1, 1, 1}), {{0, 1, 2, 3}}, local(4), {1, 4, 1}, {}).seconds,
                   1);
}

TEST(Units, the_file_system_binds_when_it_is_slow) {
  Machine machine;
  machine.cores = 8;
  machine.fs_rate = 10;
  machine.node_fs_rate = 100;
  machine.stream_fs_rate = 100;
  std::vector<UnitWork> work(8, UnitWork{.read_bytes = 10, .cpu_seconds = 0.001});

  const auto outcome = simulate_units(work, {{0, 1, 2, 3, 4, 5, 6, 7}}, machine, {1, 8, 1}, {});

  EXPECT_NEAR(outcome.seconds, 8, 0.01);  // 80 bytes at 10 a second
  EXPECT_GT(busy(outcome, Cause::file_system), 100 * busy(outcome, Cause::compute));
}

TEST(Units, a_slow_counter_hands_out_one_unit_after_the_other) {
  UnitRules rules;
  rules.take_seconds = 2;
  // Takes end at 2, 4, 6, 8; the last unit computes for 1.
  EXPECT_DOUBLE_EQ(
      simulate_units(computing({1, 1, 1, 1}), {{0, 1, 2, 3}}, local(4), {1, 4, 1}, rules).seconds, 9);
}

TEST(Units, gather_binds_at_rank_0) {
  std::vector<UnitWork> work(4, UnitWork{.cpu_seconds = 1, .write_bytes = 1, .root_seconds = 5});
  UnitRules rules;
  rules.gather = true;
  // Rank 0's worker encodes and writes two: 12. Rank 1's first is there at 6; its second must wait for
  // that: 11.
  EXPECT_DOUBLE_EQ(simulate_units(work, {{0, 1, 2, 3}}, local(2), {1, 2, 1}, rules).seconds, 12);
}

PipelineRules even_pipeline(int groups, int batches, double message) {
  PipelineRules rules;
  rules.groups = groups;
  rules.batches = batches;
  rules.samples = [](int, int) { return 1; };
  rules.seconds_per_sample.assign(static_cast<std::size_t>(groups), 1.0);
  rules.message_seconds = [message](int, int) { return message; };
  return rules;
}

TEST(Pipeline, two_groups_and_three_batches_take_four_steps) {
  const auto outcome = simulate_pipeline(local(2), {1, 2, 1}, even_pipeline(2, 3, 0));

  EXPECT_DOUBLE_EQ(outcome.seconds, 4);  // batches + groups - 1
  EXPECT_DOUBLE_EQ(outcome.compute_seconds, 6);
}

TEST(Pipeline, a_message_keeps_both_ends) {
  // 0.25 a message: batch b leaves group 0 at 1 + 1.25 b and is there 0.25 later; the third is done 1 after
  // that.
  const auto outcome = simulate_pipeline(local(2), {1, 2, 1}, even_pipeline(2, 3, 0.25));

  EXPECT_DOUBLE_EQ(outcome.seconds, 4.75);
  EXPECT_DOUBLE_EQ(outcome.message_seconds, 1.5);
}

TEST(Pipeline, groups_on_one_core_take_turns) {
  EXPECT_DOUBLE_EQ(simulate_pipeline(local(1), {1, 2, 1}, even_pipeline(2, 3, 0)).seconds, 6);
}

TEST(Pipeline, rows_do_not_wait_for_each_other) {
  PipelineRules rules = even_pipeline(2, 3, 0);
  rules.rows = 2;
  rules.samples = [](int row, int batch) { return row == 0 || batch < 1 ? 1 : 0; };

  const auto outcome = simulate_pipeline(local(4), {1, 4, 1}, rules);

  EXPECT_DOUBLE_EQ(outcome.seconds, 4);
  EXPECT_DOUBLE_EQ(outcome.compute_seconds, 8);
}

TEST(Pipeline, fill_and_drain_follow_the_formula_for_all_sizes) {
  for (int groups = 1; groups <= 8; ++groups) {
    for (int batches = 1; batches <= 9; ++batches) {
      EXPECT_DOUBLE_EQ(simulate_pipeline(local(8), {1, groups, 1}, even_pipeline(groups, batches, 0)).seconds,
                       batches + groups - 1);
    }
  }
}

TEST(Resources, cores_serve_in_order_of_arrival) {
  CorePool cores(2);
  EXPECT_DOUBLE_EQ(cores.run(0, 3), 3);
  EXPECT_DOUBLE_EQ(cores.run(0, 1), 1);
  EXPECT_DOUBLE_EQ(cores.run(0, 1), 2);
  EXPECT_DOUBLE_EQ(cores.run(5, 1), 6);
  CorePool shared(1.5);
  EXPECT_DOUBLE_EQ(shared.run(0, 3), 4);
  EXPECT_DOUBLE_EQ(shared.run(0, 3), 4);
  Pipe pipe(10);
  EXPECT_DOUBLE_EQ(pipe.pass(0, 20), 2);
  EXPECT_DOUBLE_EQ(pipe.pass(1, 10), 3);
}

}  // namespace
