// What is a hub id and what is a path.
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "llmq/hub/id.hpp"

#include "hub/names.hpp"
#include "support/scratch.hpp"

namespace {
using namespace llmq::hub;
namespace fs = std::filesystem;

TEST(ModelIdTest, organization_name_and_revision) {
  const auto id = parse_model_id("meta-llama/Llama-3.2_1B@refs/pr/3");

  ASSERT_TRUE(id);
  EXPECT_EQ(id->organization, "meta-llama");
  EXPECT_EQ(id->name, "Llama-3.2_1B");
  EXPECT_EQ(id->revision, "refs/pr/3");
  EXPECT_EQ(id->text(), "meta-llama/Llama-3.2_1B@refs/pr/3");
  EXPECT_EQ(parse_model_id("a/b")->revision, "main");
  EXPECT_EQ(parse_model_id("a/b@main")->text(), "a/b");
}

TEST(ModelIdTest, paths_are_no_ids) {
  for (const char* path : {"",
                           "x",
                           "/",
                           "/x",
                           "./x",
                           "../x",
                           "x/",
                           "~/x",
                           "a/b/c",
                           "a//b",
                           "a/b.gguf",
                           "a/b.imatrix",
                           "a/b.safetensors",
                           "a/.b",
                           ".a/b",
                           "a/b.",
                           "-a/b",
                           "a/b-",
                           "a/b..c",
                           "a--b/c",
                           "a/b--c",
                           "a/b c",
                           "a/b\n",
                           "a/b\\c",
                           "a/b%2e",
                           "http://a/b",
                           "a/b?c",
                           "a/b#c",
                           "a/\xC3\xA4"})
    EXPECT_FALSE(parse_model_id(path)) << path;
}

TEST(ModelIdTest, revisions_cannot_leave_their_directory) {
  for (const char* revision :
       {"", ".", "..", "../x", "a/../b", "/a", "a/", "a//b", ".a", "-a", "a b", "a\n", "a@b"})
    EXPECT_FALSE(parse_model_id(std::string("a/b@") + revision)) << revision;
}

TEST(ModelIdTest, what_exists_is_no_id) {
  llmq::testing_support::ScratchDirectory scratch;
  fs::create_directories(scratch / "org/name");
  const fs::path before = fs::current_path();
  fs::current_path(scratch.path());

  const bool local = remote_model_id("org/name").has_value();
  const bool other = remote_model_id("org/other").has_value();
  fs::current_path(before);

  EXPECT_FALSE(local);
  EXPECT_TRUE(other);
}

TEST(NamesTest, plain_file_names_are_one_part_of_a_path) {
  EXPECT_TRUE(is_plain_file_name("model-00001-of-00002.safetensors"));
  for (const std::string& name :
       {std::string(""), std::string("."), std::string(".."), std::string("a/b"), std::string("a\\b"),
        std::string("a\nb"), std::string("a\0b", 3), std::string(256, 'a')})
    EXPECT_FALSE(is_plain_file_name(name)) << name;
}

TEST(NamesTest, texts_of_a_server_are_fit_to_be_shown) {
  EXPECT_EQ(shown("a\x1b[31m\"b\""), "a?[31m?b?");
  EXPECT_EQ(shown("abcdef", 3), "abc...");
  EXPECT_EQ(url_part("refs/pr/1 x"), "refs%2Fpr%2F1%20x");
}

}  // namespace
