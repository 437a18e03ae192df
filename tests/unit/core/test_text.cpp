// Sizes, counts, durations and UTF-8 checks.
#include <gtest/gtest.h>

#include "llmq/core/text.hpp"

namespace {
using namespace llmq;

TEST(Text, sizes_have_units_of_ten_and_of_two) {
  EXPECT_EQ(parse_size("12GiB"), 12ull << 30);
  EXPECT_EQ(parse_size("1.5 GB"), 1500000000ull);
  EXPECT_EQ(parse_size("4096"), 4096u);
  EXPECT_EQ(parse_size("7kib"), 7168u);
  for (const char* bad : {"", "GB", "-1", "1 parsec", "nan", "1e30 TB"}) EXPECT_FALSE(parse_size(bad)) << bad;
}

TEST(Text, numbers_read_like_the_contract) {
  EXPECT_EQ(format_count(673841), "673,841");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_size(2668608), "2.7 MB");
  EXPECT_EQ(format_size(12), "12 B");
  EXPECT_EQ(format_duration(18 * 60 + 45), "18:45");
  EXPECT_EQ(format_duration(3723), "1:02:03");
}

TEST(Text, utf8_check_refuses_overlong_surrogate_and_torn_sequences) {
  EXPECT_TRUE(is_valid_utf8("Käse \xF0\x9F\xA6\x99"));
  for (const char* bad : {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80", "\xFF"}) {
    EXPECT_FALSE(is_valid_utf8(bad));
  }
}

}  // namespace
