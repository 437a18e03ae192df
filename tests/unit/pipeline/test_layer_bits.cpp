// Files of --layer-bits: what they say, and what is wrong with them in words.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/pipeline/layer_bits.hpp"

namespace {
using namespace llmq;

TEST(LayerBits, rules_come_in_their_order) {
  const auto rules = parse_layer_bits(
      R"({"version": 1, "description": "x", "rules": [{"pattern": "blk\\.0\\.", "type": "q8_0"},
          {"pattern": "attn", "type": "Q6_K"}]})",
      "r.json");

  ASSERT_EQ(rules.size(), 2u);
  EXPECT_EQ(rules[0].pattern, "blk\\.0\\.");
  EXPECT_EQ(rules[0].type, GgmlType::Q8_0);
  EXPECT_EQ(rules[1].type, GgmlType::Q6_K);
  EXPECT_TRUE(parse_layer_bits(R"({"version": 1, "rules": []})", "r.json").empty());
}

struct Malformed {
  const char* text;
  const char* words;
};

TEST(LayerBits, malformed_files_are_refused_with_their_place) {
  const Malformed table[] = {
      {"", "r.json"},
      {"{", "r.json"},
      {"[]", "r.json: the document: expected an object with version and rules"},
      {R"({"version": 1})", "\"rules\" is missing"},
      {R"({"version": 2, "rules": []})", "/version: expected 1"},
      {R"({"version": 1, "version": 1, "rules": []})", "r.json"},
      {R"({"version": 1, "rules": {}})", "/rules: expected a list"},
      {R"({"version": 1, "rules": [3]})", "/rules/0: expected a rule"},
      {R"({"version": 1, "rules": [{"pattern": "a"}]})", "/rules/0: \"type\" is missing"},
      {R"({"version": 1, "rules": [{"pattern": "a", "type": 3}]})", "/rules/0/type: expected a tensor type"},
      {R"({"version": 1, "rules": [{"pattern": "", "type": "Q8_0"}]})", "/rules/0/pattern: expected"},
      {R"({"version": 1, "rules": [{"pattern": "a", "type": "Q8_0", "bits": 3}]})", "/rules/0/bits: unknown"},
      {R"({"version": 1, "rules": [{"pattern": "a", "type": "Q8_0"}, {"pattern": "(", "type": "Q8_0"}]})",
       "/rules/1: \"(\" is not a regular expression"},
      {R"({"version": 1, "rules": [{"pattern": "a", "type": "Q4_9"}]})",
       "/rules/0: unknown tensor type \"Q4_9\""},
  };
  for (const Malformed& row : table) {
    try {
      (void)parse_layer_bits(row.text, "r.json");
      ADD_FAILURE() << "accepted: " << row.text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::invalid_arguments) << row.text;
      EXPECT_THAT(error.what(), testing::HasSubstr(row.words));
      EXPECT_FALSE(error.suggestion().empty());
    }
  }
}

TEST(LayerBits, a_missing_file_and_a_directory_are_refused) {
  for (const char* path : {"nowhere.json", "."}) {
    try {
      (void)read_layer_bits(path);
      ADD_FAILURE() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::invalid_arguments);
    }
  }
}

}  // namespace
