// Files on their way, and what contents are called.
#include <fstream>

#include <gtest/gtest.h>

#include "hub/content.hpp"
#include "hub/partial_file.hpp"
#include "support/scratch.hpp"

namespace {
using namespace llmq;
using namespace llmq::hub;
namespace fs = std::filesystem;

struct PartialFileTest : ::testing::Test {
  testing_support::ScratchDirectory scratch;
  fs::path blob = scratch / "blob";
  fs::path journal = scratch / "blob.llmq-received";

  void receive(PartialFile& file, const std::string& text, std::uint64_t at) {
    file.write(std::as_bytes(std::span(text)), at);
    file.received({at, at + text.size()});
  }
};

TEST_F(PartialFileTest, another_run_goes_on_where_the_first_was_killed) {
  {
    PartialFile file(blob, 10);
    receive(file, "abc", 0);
    receive(file, "hij", 7);
  }
  PartialFile file(blob, 10);
  EXPECT_EQ(file.received_bytes(), 6u);
  EXPECT_EQ(file.missing(), (std::vector<Interval>{{3, 7}}));
  receive(file, "defg", 3);
  EXPECT_FALSE(fs::exists(blob));
  file.publish();

  EXPECT_EQ(read_file(blob, 100), "abcdefghij");
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch.path()), fs::directory_iterator()), 1);
}

TEST_F(PartialFileTest, torn_and_malformed_lines_count_for_nothing) {
  { PartialFile(blob, 10); }
  std::ofstream(journal) << "0 3\n5 11\n-1 4\nx\n\n4 5 6\n18446744073709551615 9\n6 8\n9 1";
  {
    PartialFile file(blob, 10);
    EXPECT_EQ(file.received_bytes(), 5u);
    receive(file, "d", 3);  // behind the torn line
  }
  EXPECT_EQ(PartialFile(blob, 10).received_bytes(), 6u);
}

TEST_F(PartialFileTest, another_size_starts_anew) {
  {
    PartialFile file(blob, 10);
    receive(file, "abc", 0);
  }
  EXPECT_EQ(PartialFile(blob, 11).received_bytes(), 0u);
  fs::remove(scratch / "blob.llmq-partial");
  EXPECT_EQ(PartialFile(blob, 11).received_bytes(), 0u);
}

TEST_F(PartialFileTest, removed_and_started_over) {
  PartialFile file(blob, 10);
  receive(file, "abc", 0);
  file.start_over();
  EXPECT_EQ(file.received_bytes(), 0u);
  EXPECT_EQ(fs::file_size(journal), 0u);
  file.remove();
  EXPECT_TRUE(fs::is_empty(scratch.path()));
}

TEST_F(PartialFileTest, contents_are_called_as_git_and_large_file_storage_call_them) {
  std::ofstream(blob) << "hello\n";
  std::ofstream(scratch / "empty");
  const auto never = [] { return false; };
  const std::string git(40, '0'), large(64, '0');

  // `git hash-object` of the same files.
  EXPECT_EQ(content_hash(File(blob, File::Mode::read), git, never),
            "ce013625030ba8dba906f756967f9e9ca394464a");
  EXPECT_EQ(content_hash(File(scratch / "empty", File::Mode::read), git, never),
            "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  // sha256sum
  EXPECT_EQ(content_hash(File(blob, File::Mode::read), large, never),
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
  EXPECT_EQ(content_hash(File(blob, File::Mode::read), large, [] { return true; }), "");
}

}  // namespace
