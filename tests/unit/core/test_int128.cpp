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

/// The definition: scale, round, split the magnitude into halves that convert exactly. (Of a negative number
/// the low half, 2^64 less something, would not.)
Int128 plainly_fixed(double value, int fraction_bits) {
  const double rounded = std::nearbyint(std::ldexp(std::fabs(value), fraction_bits));
  const double high = std::floor(std::ldexp(rounded, -64));
  const double low = rounded - std::ldexp(high, 64);
  const auto magnitude = static_cast<Int128>((static_cast<UInt128>(static_cast<std::uint64_t>(high)) << 64) |
                                             static_cast<std::uint64_t>(low));
  return value < 0 ? -magnitude : magnitude;
}

TEST(Fixed128, small_negative_values_are_exact) {
  for (volatile double units : {-1.0, -2.0, -256.0, -1023.0, -1025.0, -0x1p40 - 1}) {
    const double value = std::ldexp(units, -60);  // volatile: not folded by the compiler
    EXPECT_TRUE(to_fixed(value, 60) == static_cast<Int128>(units)) << units;
  }
}

TEST(Fixed128, conversion_equals_its_definition_in_every_binade) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> draw(1, 2);
  for (const int bits : {40, 60}) {
    for (int exponent = -1074; exponent < 126 - bits; ++exponent) {
      for (int i = 0; i < 50; ++i) {
        const double value = std::ldexp(draw(random), exponent) * (i % 2 == 0 ? 1 : -1);
        ASSERT_TRUE(to_fixed(value, bits) == plainly_fixed(value, bits)) << value << " with " << bits;
      }
    }
    // Halfway cases, and the neighbours of the places where the method changes.
    for (const double scaled : {0.5, 1.5, 2.5, 0x1p51 + 0.5, 0x1p52 - 0.5, 0x1p52, 0x1p53 - 1, 0x1p63, 0x1p64,
                                0x1p126 - 0x1p73, 0.0}) {
      for (const double sign : {1.0, -1.0}) {
        for (const double near : {-1.0, 0.0, 1.0}) {
          const double value = std::ldexp(sign * std::nextafter(scaled, scaled + near), -bits);
          if (std::fabs(value) >= std::ldexp(1.0, 126 - bits)) continue;
          EXPECT_TRUE(to_fixed(value, bits) == plainly_fixed(value, bits)) << value << " with " << bits;
        }
      }
    }
  }
}

TEST(Fixed128, nan_infinity_and_overflow_are_errors) {
  EXPECT_THROW(to_fixed(std::numeric_limits<double>::quiet_NaN(), 60), Error);
  EXPECT_THROW(to_fixed(std::numeric_limits<double>::infinity(), 60), Error);
  EXPECT_THROW(to_fixed(0x1p66, 60), Error);
  const Int128 huge = to_fixed(0x1p65, 60);
  EXPECT_THROW(add_fixed(add_fixed(huge, huge), add_fixed(huge, huge)), Error);
}

}  // namespace
