// Names that a misspelled one may have meant.
#include <gtest/gtest.h>

#include "llmq/hub/cache.hpp"

namespace {
using namespace llmq::hub;
using Names = std::vector<std::string>;

const Names kKnown = {"meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-3B", "TinyLlama/TinyLlama-1.1B",
                      "a/b"};

TEST(NearNamesTest, nearest_first) {
  EXPECT_EQ(near_names("meta-llama/Llama-3.2-2B", kKnown),
            (Names{"meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-3B"}));
  EXPECT_EQ(near_names("META-LLAMA/llama-3.2-1b", kKnown).front(), "meta-llama/Llama-3.2-1B");
}

TEST(NearNamesTest, the_name_under_another_organization) {
  EXPECT_EQ(near_names("somebody-else-entirely/TinyLlama-1.1B", kKnown), (Names{"TinyLlama/TinyLlama-1.1B"}));
}

TEST(NearNamesTest, nothing_far_away_and_at_most_three) {
  EXPECT_EQ(near_names("mistral/Mixtral-8x7B", kKnown), Names{});
  EXPECT_EQ(near_names("x/aaaa", {"x/aaab", "x/aaac", "x/aaad", "x/aaae"}).size(), 3u);
}

}  // namespace
