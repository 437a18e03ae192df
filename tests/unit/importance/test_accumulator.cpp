// Accumulators: right sums, the same integers for any order and grouping of samples, bad numbers refused.
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "llmq/importance/accumulator.hpp"

namespace {
using namespace llmq;

constexpr std::size_t kColumns = 300;  // more than one tile, not a multiple of it
constexpr std::size_t kTokens = 7;

std::vector<std::vector<float>> make_samples(std::size_t count) {
  std::mt19937 random(11);
  std::normal_distribution<float> draw(0.1F, 2.0F);
  std::vector<std::vector<float>> samples(count);
  for (auto& sample : samples) {
    for (std::size_t i = 0; i < kColumns * kTokens; ++i) sample.push_back(draw(random));
  }
  return samples;
}

TEST(InputAccumulator, sums_agree_with_long_double_arithmetic) {
  const auto samples = make_samples(3);
  InputAccumulator accumulator(kColumns);

  for (const auto& sample : samples) accumulator.add_sample(sample);

  EXPECT_EQ(accumulator.count, 3 * kTokens);
  for (std::size_t column = 0; column < kColumns; ++column) {
    long double sum = 0, square = 0, quad = 0;
    float largest = 0;
    for (const auto& sample : samples) {
      for (std::size_t token = 0; token < kTokens; ++token) {
        const long double value = sample[token * kColumns + column];
        sum += value, square += value * value, quad += value * value * value * value;
        largest = std::max(largest, std::fabs(sample[token * kColumns + column]));
      }
    }
    EXPECT_NEAR(from_fixed(accumulator.sum[column], kSumFractionBits), static_cast<double>(sum), 1e-12);
    EXPECT_NEAR(from_fixed(accumulator.sum_sq[column], kSumFractionBits), static_cast<double>(square), 1e-11);
    EXPECT_NEAR(from_fixed(accumulator.sum_quad[column], kQuadFractionBits), static_cast<double>(quad), 1e-9);
    EXPECT_EQ(accumulator.max_abs[column], largest);
  }
}

TEST(InputAccumulator, grouping_of_samples_never_changes_a_bit) {
  const auto samples = make_samples(12);
  InputAccumulator whole(kColumns);
  for (const auto& sample : samples) whole.add_sample(sample);

  for (const std::size_t groups : {2u, 3u, 5u}) {
    std::vector<InputAccumulator> parts(groups, InputAccumulator(kColumns));
    for (std::size_t i = samples.size(); i-- > 0;) parts[i % groups].add_sample(samples[i]);
    InputAccumulator total(kColumns);
    for (const auto& part : parts) total.add(part);
    EXPECT_TRUE(total.sum == whole.sum && total.sum_sq == whole.sum_sq && total.sum_quad == whole.sum_quad);
    EXPECT_EQ(total.max_abs, whole.max_abs);
    EXPECT_EQ(total.count, whole.count);
  }
}

TEST(InputAccumulator, nan_and_infinity_are_errors) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> sample(kColumns * kTokens, 1.0F);
    sample[kColumns + 5] = bad;
    InputAccumulator accumulator(kColumns);
    EXPECT_THROW(accumulator.add_sample(sample), Error);
  }
}

}  // namespace
