// The strict JSON parser: depth, duplicates, UTF-8.
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "llmq/core/json.hpp"

namespace {
using namespace llmq;

TEST(StrictJson, reads_ordinary_documents) {
  const auto document =
      parse_json_strict(R"({"a": [1, 2.5, "x"], "b": {"a": null}})", "t", ExitCode::validation);
  EXPECT_EQ(document["a"][1], 2.5);
}

TEST(StrictJson, refuses_duplicates_depth_bad_utf8_and_torn_text) {
  const std::string deep = std::string(20000, '[') + std::string(20000, ']');
  for (const std::string& bad : {std::string(R"({"a": 1, "a": 2})"), deep, std::string("\"\xFF\""),
                                 std::string(R"({"a": )"), std::string("")}) {
    EXPECT_THROW(parse_json_strict(bad, "t", ExitCode::validation), FormatError);
  }
}

}  // namespace
