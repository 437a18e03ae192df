// Fixed-point sums: conversion is exact where it can be, grouping never matters, overflow is an error.
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "llmq/core/int128.hpp"

namespace {
using namespace llmq;

TEST(Fixed128, values_with_few_bits_survive_exactly) {
  for (const double value : {0.0, 1.0, -1.0, 0.1, -12345.678, 1e12, 0x1p-40, -0x1p-40}) {
    if (std::fabs(value) < 0x1p-60) continue;
    EXPECT_NEAR(from_fixed(to_fixed(value, 60), 60), value, std::fabs(value) * 1e-15 + 0x1p-60);
  }
  EXPECT_EQ(from_fixed(to_fixed(-3.5, 60), 60), -3.5);
  EXPECT_EQ(to_fixed(-0x1p-60, 60), Int128{-1});
}

TEST(Fixed128, any_grouping_of_terms_gives_the_same_sum) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> draw(0, 6);
  std::vector<Int128> terms;
  for (int i = 0; i < 1000; ++i) terms.push_back(to_fixed(draw(random) * (i % 2 == 0 ? 1 : -1), 60));
  Int128 forward = 0;
  for (const Int128 term : terms) forward = add_fixed(forward, term);

  Int128 odd = 0;
  Int128 even = 0;
  for (std::size_t i = terms.size(); i-- > 0;)
    (i % 2 == 0 ? even : odd) = add_fixed(i % 2 == 0 ? even : odd, terms[i]);

  EXPECT_EQ(add_fixed(odd, even), forward);
}

TEST(Fixed128, nan_infinity_and_overflow_are_errors) {
  EXPECT_THROW(to_fixed(std::numeric_limits<double>::quiet_NaN(), 60), Error);
  EXPECT_THROW(to_fixed(std::numeric_limits<double>::infinity(), 60), Error);
  EXPECT_THROW(to_fixed(0x1p66, 60), Error);
  const Int128 huge = to_fixed(0x1p65, 60);
  EXPECT_THROW(add_fixed(add_fixed(huge, huge), add_fixed(huge, huge)), Error);
}

}  // namespace
