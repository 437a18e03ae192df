// Whom a request goes to, and where redirections lead.
#include <gtest/gtest.h>

#include "hub/url.hpp"

namespace {
using namespace llmq::hub;

TEST(UrlTest, one_form_for_an_origin) {
  EXPECT_EQ(origin_of("https://HuggingFace.co/a/b?c"), "https://huggingface.co:443");
  EXPECT_EQ(origin_of("HTTP://127.0.0.1:81"), "http://127.0.0.1:81");
  EXPECT_EQ(origin_of("http://[::1]/x"), "http://[::1]:80");
  EXPECT_NE(origin_of("http://localhost:80"), origin_of("http://127.0.0.1:80"));
  EXPECT_NE(origin_of("http://a"), origin_of("https://a"));
  EXPECT_NE(origin_of("https://a.b"), origin_of("https://a.b.c"));
}

TEST(UrlTest, what_two_readers_might_read_differently_has_no_origin) {
  for (const char* url : {"", "a", "ftp://a", "https://", "https:///x", "https://a@b", "https://a\\@b",
                          "https://a b", "https://a\n", "https://a%2eb", "https://:1", "https://a#@b\x7f"})
    EXPECT_EQ(origin_of(url), "") << url;
}

TEST(UrlTest, redirections_are_absolute_or_relative) {
  EXPECT_EQ(redirected_url("https://a/x/y?q", "https://b/z"), "https://b/z");
  EXPECT_EQ(redirected_url("https://a/x/y?q", "//b/z"), "https://b/z");
  EXPECT_EQ(redirected_url("https://a/x/y?q", "/z?p=http://c"), "https://a/z?p=http://c");
  EXPECT_EQ(redirected_url("https://a/x/y?q", "z"), "https://a/x/z");
  EXPECT_EQ(redirected_url("https://a", "z"), "https://a/z");
}

TEST(UrlTest, no_way_out_of_https) {
  EXPECT_EQ(redirected_url("https://a/x", "http://a/x"), "");
  EXPECT_EQ(redirected_url("http://a/x", "https://a/x"), "https://a/x");
  for (const char* location : {"", "ftp://a/x", "file:///etc/passwd", "https://u@a/x"})
    EXPECT_EQ(redirected_url("https://a/x", location), "") << location;
}

TEST(UrlTest, keys_are_not_shown) {
  EXPECT_EQ(shown_url("https://a/x?signature=secret#part"), "https://a/x");
}

}  // namespace
