// What a hub says of a repository, and the files a model needs of it.
#include <fstream>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"

#include "hub/listing.hpp"
#include "hub/shards.hpp"
#include "support/scratch.hpp"

namespace {
using namespace llmq;
using namespace llmq::hub;

const std::string kCommit(40, 'a');
const std::string kBlob(40, 'b');
const std::string kSha256(64, 'c');

std::string file(const std::string& name, const std::string& more) {
  return R"({"rfilename": ")" + name + "\", " + more + "}";
}
std::string plain(const std::string& name) { return file(name, R"("size": 3, "blobId": ")" + kBlob + "\""); }
std::string large(const std::string& name) {
  return file(name, R"("size": 7, "blobId": ")" + kBlob + R"(", "lfs": {"sha256": ")" + kSha256 + "\"}");
}
std::string listing(const std::vector<std::string>& files) {
  std::string text = R"({"sha": ")" + kCommit + R"(", "siblings": [)";
  for (const std::string& one : files) text += (one == files.front() ? "" : ", ") + one;
  return text + "]}";
}
ExitCode code_of(const std::string& text) {
  try {
    (void)parse_listing(text, "http://hub/api");
  } catch (const Error& error) {
    return error.code();
  }
  return ExitCode::ok;
}

TEST(ListingTest, large_files_are_known_by_sha256_the_others_by_gits_hash) {
  const Listing found = parse_listing(listing({plain("config.json"), large("model.safetensors")}), "url");

  EXPECT_EQ(found.commit, kCommit);
  EXPECT_EQ(found.find("config.json")->hash, kBlob);
  EXPECT_EQ(found.find("config.json")->size_bytes, 3u);
  EXPECT_EQ(found.find("model.safetensors")->hash, kSha256);
}

TEST(ListingTest, only_what_a_model_needs) {
  const Listing found =
      parse_listing(listing({plain("config.json"), plain("README.md"), large("pytorch_model.bin"),
                             plain("../config.json"), plain("sub/tokenizer.json"), plain("tokenizer.json"),
                             large("model.safetensors"), plain("x.msgpack")}),
                    "url");

  std::vector<std::string> names;
  for (const RemoteFile& one : small_files(found, "a/b")) names.push_back(one.name);
  EXPECT_EQ(names, (std::vector<std::string>{"config.json", "tokenizer.json"}));
  EXPECT_EQ(weight_files(found, {"model.safetensors"}, "a/b").size(), 1u);
  EXPECT_THROW(weight_files(found, {"model-2.safetensors"}, "a/b"), Error);
}

TEST(ListingTest, repositories_without_configuration_or_weights_are_not_found) {
  EXPECT_THROW(small_files(parse_listing(listing({large("model.safetensors")}), "url"), "a/b"), Error);
  EXPECT_THROW(small_files(parse_listing(listing({plain("config.json")}), "url"), "a/b"), Error);
}

TEST(ListingTest, malformed_answers_are_typed_errors) {
  EXPECT_EQ(code_of(listing({plain("config.json")})), ExitCode::ok);
  for (const std::string& text :
       {std::string("<html>"), std::string("[]"), std::string("{}"), R"({"sha": ")" + kCommit + "\"}",
        std::string(R"({"sha": "../../x", "siblings": []})"), R"({"sha": 4, "siblings": []})" + std::string(),
        R"({"sha": ")" + kCommit + R"(", "siblings": {}})",
        listing({plain("config.json"), plain("config.json")}),
        listing({file("config.json", R"("size": -1, "blobId": ")" + kBlob + "\"")}),
        listing({file("config.json", R"("size": 1e30, "blobId": ")" + kBlob + "\"")}),
        listing({file("config.json", R"("size": 18446744073709551615, "blobId": ")" + kBlob + "\"")}),
        listing({file("config.json", R"("size": 3, "blobId": "../../../etc")")}),
        listing({file("config.json", R"("size": 3)")}),
        listing({file("a.safetensors",
                      R"("size": 3, "blobId": ")" + kBlob + R"(", "lfs": {"sha256": "../x"})")})})
    EXPECT_EQ(code_of(text), ExitCode::validation) << text;
}

TEST(ShardsTest, names_once_and_only_plain_ones) {
  testing_support::ScratchDirectory scratch;
  const auto shards = [&](const std::string& text) {
    std::ofstream(scratch / "index.json") << text;
    return shards_of_index(scratch / "index.json");
  };

  EXPECT_EQ(shards(R"({"weight_map": {"a": "2.safetensors", "b": "1.safetensors", "c": "2.safetensors"}})"),
            (std::vector<std::string>{"1.safetensors", "2.safetensors"}));
  for (const char* text : {"{", "{}", R"({"weight_map": {}})", R"({"weight_map": {"a": 1}})",
                           R"({"weight_map": {"a": "../x"}})", R"({"weight_map": {"a": "/x"}})"})
    EXPECT_THROW(shards(text), Error) << text;
}

}  // namespace
