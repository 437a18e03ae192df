// Bit allocation against every possible choice, limits of groups, and what it starts from.
#include <random>

#include <gtest/gtest.h>

#include "llmq/allocate/allocation.hpp"

namespace {
using namespace llmq;

/// Tensors whose losses fall by chance as their bytes rise.
AllocationProblem random_problem(std::uint32_t seed, std::size_t tensors, std::size_t options) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<std::uint64_t> step(1, 9);
  std::uniform_real_distribution<double> factor(0.2, 0.9);
  AllocationProblem problem;
  std::uint64_t least = 0, most = 0;
  for (std::size_t i = 0; i < tensors; ++i) {
    std::vector<TypeOption> made;
    std::uint64_t bytes = 0;
    double loss = factor(random);
    for (std::size_t j = 0; j < options; ++j) {
      bytes += 32 * step(random);
      made.push_back({GgmlType::Q4_K, bytes, loss});
      loss *= factor(random);
    }
    least += made.front().bytes;
    most += made.back().bytes;
    problem.tensors.push_back(made);
  }
  problem.max_bytes = (least + most) / 2;
  return problem;
}

/// The best of all choices that fit.
double optimum(const AllocationProblem& problem) {
  Choices choices(problem.tensors.size(), 0);
  double best = loss_of(problem, smallest(problem));
  for (;;) {
    if (fits(problem, choices)) best = std::min(best, loss_of(problem, choices));
    std::size_t i = 0;
    while (i < choices.size() && ++choices[i] == problem.tensors[i].size()) choices[i++] = 0;
    if (i == choices.size()) return best;
  }
}

TEST(Allocation, is_the_optimum_or_near_it_and_never_below_its_bound) {
  int exact = 0;
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    const AllocationProblem problem = random_problem(seed, 6, 5);
    const Allocation found = allocate(problem);
    const double best = optimum(problem);
    ASSERT_TRUE(fits(problem, found.choices));
    EXPECT_EQ(found.bytes, bytes_of(problem, found.choices));
    EXPECT_LE(found.bound, best * (1 + 1e-12)) << "seed " << seed;
    EXPECT_GE(found.loss, best * (1 - 1e-12)) << "seed " << seed;
    EXPECT_LE(found.loss, best * 1.10) << "seed " << seed;
    exact += found.loss <= best * (1 + 1e-12) ? 1 : 0;
  }
  EXPECT_GE(exact, 30);
}

TEST(Allocation, keeps_the_limits_of_groups) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    AllocationProblem problem = random_problem(seed, 6, 5);
    const Choices least = smallest(problem);
    std::uint64_t first = 0;
    for (std::size_t i = 0; i < 3; ++i) first += problem.tensors[i][least[i]].bytes;
    problem.groups = {{{0, 1, 2}, first + 200}, {{3, 5}, 1'000'000}};
    const Allocation found = allocate(problem);
    ASSERT_TRUE(fits(problem, found.choices));
    const double best = optimum(problem);
    EXPECT_LE(found.bound, best * (1 + 1e-12));
    EXPECT_LE(found.loss, best * 1.15) << "seed " << seed;
  }
}

TEST(Allocation, is_never_worse_than_what_it_starts_from) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    const AllocationProblem problem = random_problem(seed, 30, 12);
    std::mt19937 random(seed);
    std::vector<Choices> starts;
    while (starts.size() < 5) {
      Choices start;
      for (const auto& options : problem.tensors) start.push_back(random() % options.size());
      if (fits(problem, start)) starts.push_back(start);
    }
    const Allocation found = allocate(problem, starts);
    for (const Choices& start : starts) EXPECT_LE(found.loss, loss_of(problem, start));
    EXPECT_EQ(found.choices, allocate(problem, starts).choices);
  }
}

TEST(Allocation, fills_a_budget_almost_whole) {
  const AllocationProblem problem = random_problem(7, 40, 12);
  const Allocation found = allocate(problem);
  EXPECT_GE(static_cast<double>(found.bytes), 0.999 * static_cast<double>(problem.max_bytes));
}

TEST(Allocation, a_limit_no_choice_is_above_changes_nothing_and_pins_stay) {
  AllocationProblem problem = random_problem(3, 4, 5);
  problem.max_bytes = 1'000'000;
  problem.tensors[1] = {{GgmlType::Q2_K, 96, 0.5}};
  const Allocation found = allocate(problem);
  EXPECT_EQ(found.choices, (Choices{4, 0, 4, 4}));
  EXPECT_DOUBLE_EQ(found.bound, found.loss);
}

TEST(Allocation, the_only_choice_that_fits_is_found) {
  AllocationProblem problem = random_problem(5, 8, 6);
  problem.max_bytes = bytes_of(problem, smallest(problem));
  EXPECT_EQ(allocate(problem).choices, smallest(problem));
}

}  // namespace
