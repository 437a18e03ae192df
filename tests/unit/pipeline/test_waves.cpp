// How many candidates and samples go through the layers at once, by memory.
#include <gtest/gtest.h>

#include "pipeline/quality_evaluate.hpp"

namespace {
using namespace llmq;

constexpr WaveDemand kDemand{
    .program = 1000, .layer = 100, .head = 50, .thread = 20, .state = 10, .threads = 4};

TEST(Waves, memory_of_one_candidate_is_that_of_two_models) {
  // 1000 + max(2 * 100, 3 * 50) + 4 * (20 + 2 * 10)
  EXPECT_EQ(wave_bytes(kDemand, 1), 1360u);
  EXPECT_EQ(wave_bytes(kDemand, 5), 1000u + 350u + 4u * 80u);
}

TEST(Waves, a_plan_never_exceeds_its_limit_and_wastes_less_than_a_sample) {
  for (std::uint64_t limit = 0; limit < 4000; limit += 7) {
    for (std::size_t candidates = 1; candidates <= 6; ++candidates) {
      const WavePlan plan = plan_waves(kDemand, candidates, limit);
      if (plan.candidates == 0) {
        EXPECT_LT(limit, wave_bytes(kDemand, 1));
        continue;
      }
      ASSERT_LE(plan.candidates, candidates);
      ASSERT_GE(plan.samples, kDemand.threads);
      const std::uint64_t used = wave_bytes(kDemand, plan.candidates) +
                                 (plan.samples - kDemand.threads) * (plan.candidates + 1) * kDemand.state;
      EXPECT_LE(used, limit);
      EXPECT_GT(used + (plan.candidates + 1) * kDemand.state, limit);
      if (plan.candidates < candidates) {
        EXPECT_GT(wave_bytes(kDemand, plan.candidates + 1), limit);
      }
    }
  }
}

}  // namespace
