// Half and bfloat16 conversion: exact both ways, ties to even, every bit pattern.
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "llmq/core/half.hpp"

namespace {
using namespace llmq;

TEST(Half, every_finite_pattern_survives_the_round_trip) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = f16_to_f32(half);
    if (std::isnan(value)) continue;
    EXPECT_EQ(f32_to_f16(value), half);
  }
}

TEST(Half, rounding_is_to_nearest_even_between_all_neighbours) {
  for (std::uint16_t bits = 0; bits < 0x7BFF; ++bits) {
    const float low = f16_to_f32(bits);
    const float high = f16_to_f32(static_cast<std::uint16_t>(bits + 1));
    const float middle = low + (high - low) / 2;  // exact: one more bit than a half holds
    EXPECT_EQ(f32_to_f16(middle), (bits & 1) != 0 ? bits + 1 : bits);
    EXPECT_EQ(f32_to_f16(std::nextafter(middle, high)), bits + 1);
    EXPECT_EQ(f32_to_f16(std::nextafter(middle, low)), bits);
  }
}

TEST(Half, overflow_is_infinity_and_nan_stays_nan) {
  EXPECT_EQ(f32_to_f16(65519.996F), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0F), 0x7C00);
  EXPECT_EQ(f32_to_f16(-1e30F), 0xFC00);
  EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(Bfloat16, every_pattern_survives_and_ties_go_to_even) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto brain = static_cast<std::uint16_t>(bits);
    const float value = bf16_to_f32(brain);
    if (std::isnan(value)) continue;
    EXPECT_EQ(f32_to_bf16(value), brain);
  }
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3F808000u)), 0x3F80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3F818000u)), 0x3F82);
}

}  // namespace
