// Sizes as --target-size takes them.
#include <gtest/gtest.h>

#include "llmq/allocate/target_size.hpp"

namespace {
using namespace llmq;

TEST(TargetSize, a_bare_number_is_a_ratio) {
  const auto half = parse_target_size("0.5");

  ASSERT_TRUE(half && half->ratio);
  EXPECT_FALSE(half->bytes);
  EXPECT_EQ(half->most_bytes(1001), 500u);
  EXPECT_EQ(parse_target_size("1")->most_bytes(1001), 1001u);
}

TEST(TargetSize, a_number_with_a_unit_is_bytes) {
  const auto bytes = [](const char* text) { return parse_target_size(text)->bytes.value(); };

  EXPECT_EQ(bytes("1B"), 1u);
  EXPECT_EQ(bytes("700MB"), 700'000'000u);
  EXPECT_EQ(bytes("1.5 GiB"), 3u << 29);
  EXPECT_EQ(bytes("2kb"), 2000u);
  EXPECT_EQ(bytes("2KiB"), 2048u);
  EXPECT_EQ(parse_target_size("2KiB")->most_bytes(1), 2048u);
}

TEST(TargetSize, everything_else_is_nothing) {
  for (const char* text :
       {"",    "0",   "1.01", "-0.5",  "-1GB", "0B",     "0.2B",          "5",    "3K",  "3TB", "GB",
        "nan", "inf", "0.5x", "1e400", "1 2",  "0x1p-1", "99999999999GB", " 0.5", "+0.5"}) {
    EXPECT_FALSE(parse_target_size(text)) << text;
  }
}

}  // namespace
