// The cache on disk: which snapshot is whole, and what its model is called.
#include <cstring>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "llmq/hub/cache.hpp"

#include "support/scratch.hpp"

namespace {
using namespace llmq::hub;
namespace fs = std::filesystem;

const std::string kCommit(40, 'a');

struct CacheTest : ::testing::Test {
  llmq::testing_support::ScratchDirectory scratch;
  fs::path cache = scratch / "hub";
  fs::path repository = cache / "models--org--name";
  fs::path snapshot = repository / "snapshots" / kCommit;
  ModelId id = *parse_model_id("org/name");

  void put(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }
  /// One tensor of eight bytes.
  static std::string weights() {
    const std::string header = R"({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})";
    const std::uint64_t length = header.size();
    std::string text(sizeof length, '\0');
    std::memcpy(text.data(), &length, sizeof length);
    return text + header + std::string(8, 'w');
  }
  void make_whole() {
    put(repository / "refs/main", kCommit);
    put(snapshot / "config.json", "{}");
    put(snapshot / "tokenizer.json", "{}");
    put(repository / "blobs/weights", weights());
    fs::create_symlink("../../blobs/weights", snapshot / "model.safetensors");
  }
  bool found() { return find_snapshot({scratch / "nowhere", cache}, id) == snapshot; }
};

TEST_F(CacheTest, by_reference_and_by_commit) {
  make_whole();
  put(repository / "refs/refs/pr/1", kCommit + "\n");

  EXPECT_TRUE(found());
  EXPECT_EQ(find_snapshot({cache}, *parse_model_id("org/name@" + kCommit)), snapshot);
  EXPECT_EQ(find_snapshot({cache}, *parse_model_id("org/name@refs/pr/1")), snapshot);
  EXPECT_FALSE(find_snapshot({cache}, *parse_model_id("org/name@v1")));
  EXPECT_FALSE(find_snapshot({cache}, *parse_model_id("org/other")));
  EXPECT_FALSE(find_snapshot({}, id));
}

TEST_F(CacheTest, anything_missing_is_not_whole) {
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"}) {
    make_whole();
    EXPECT_TRUE(found());
    fs::remove(snapshot / name);
    EXPECT_FALSE(found()) << name;
    EXPECT_NE(incomplete_part(snapshot, true), "");
    fs::remove_all(cache);
  }
  make_whole();
  fs::remove(repository / "blobs/weights");  // the link leads nowhere
  EXPECT_FALSE(found());
}

TEST_F(CacheTest, without_network_a_tokenizer_may_be_missing) {
  make_whole();
  fs::remove(snapshot / "tokenizer.json");

  EXPECT_FALSE(find_snapshot({cache}, id, true));
  EXPECT_TRUE(find_snapshot({cache}, id, false));
}

TEST_F(CacheTest, weights_have_the_length_their_header_says) {
  for (const int change : {-1, 1, -9, -60}) {
    make_whole();
    fs::resize_file(repository / "blobs/weights",
                    static_cast<std::uintmax_t>(static_cast<int>(weights().size()) + change));
    EXPECT_FALSE(found()) << change;
    fs::remove_all(cache);
  }
  make_whole();
  put(repository / "blobs/weights", "");
  EXPECT_FALSE(found());
}

TEST_F(CacheTest, all_shards_of_an_index) {
  make_whole();
  put(snapshot / "model.safetensors.index.json",
      R"({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}})");
  put(snapshot / "1.safetensors", weights());
  EXPECT_EQ(incomplete_part(snapshot, true), "2.safetensors is missing");
  put(snapshot / "2.safetensors", weights());
  EXPECT_TRUE(found());
  put(snapshot / "model.safetensors.index.json", "{");
  EXPECT_FALSE(found());
}

TEST_F(CacheTest, references_that_are_no_commits_lead_nowhere) {
  make_whole();
  for (const std::string& text :
       {std::string(), std::string("../../x"), std::string(40, 'A'), kCommit + kCommit}) {
    put(repository / "refs/main", text);
    EXPECT_FALSE(found()) << text;
  }
}

TEST_F(CacheTest, models_are_called_by_their_ids) {
  make_whole();
  put(cache / "models--a--b" / "refs/main", "x");
  put(cache / "datasets--c--d" / "refs/main", "x");

  EXPECT_EQ(cached_repositories({cache, cache, scratch / "nowhere"}),
            (std::vector<std::string>{"a/b", "org/name"}));
  EXPECT_EQ(model_title(snapshot), "org/name");
  EXPECT_EQ(model_title(snapshot / ""), "org/name");
  EXPECT_EQ(model_title("./some/model"), "./some/model");
  EXPECT_EQ(last_part(snapshot), "name");
  EXPECT_EQ(last_part("org/name@v2"), "name");
  EXPECT_EQ(last_part("./some/model/"), "model");
  EXPECT_EQ(last_part("some/model.gguf"), "model.gguf");
  EXPECT_EQ(repository_of_snapshot(snapshot.parent_path() / "main"), "");
}

}  // namespace
