// Files by offset, atomic publishing, locks, hashes.
#include <filesystem>
#include <fstream>
#include <unistd.h>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/hash.hpp"

namespace {
using namespace llmq;
namespace fs = std::filesystem;

struct FileTest : ::testing::Test {
  fs::path directory = fs::temp_directory_path() / ("llmq-file-" + std::to_string(::getpid()));
  FileTest() { fs::create_directories(directory); }
  ~FileTest() override { fs::remove_all(directory); }
};

TEST_F(FileTest, atomic_write_leaves_one_complete_file) {
  write_file_atomically(directory / "a", "first");
  write_file_atomically(directory / "a", "second");

  EXPECT_EQ(read_file(directory / "a", 100), "second");
  EXPECT_EQ(std::distance(fs::directory_iterator(directory), fs::directory_iterator()), 1);
}

TEST_F(FileTest, reading_past_the_end_and_missing_files_are_typed_errors) {
  write_file_atomically(directory / "a", "abc");
  const File file(directory / "a", File::Mode::read);
  std::byte buffer[8];
  EXPECT_THROW(file.read_at(buffer, 0), Error);
  try {
    File missing(directory / "b", File::Mode::read, 3);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::model_not_found);
  }
  EXPECT_THROW(read_file(directory / "a", 2), FormatError);
}

TEST_F(FileTest, a_lock_has_one_owner) {
  const FileLock first(directory / "lock");
  EXPECT_TRUE(first.owns());
  EXPECT_FALSE(FileLock(directory / "lock").owns());
}

TEST_F(FileTest, same_file_is_seen_through_links) {
  write_file_atomically(directory / "a", "abc");
  fs::create_symlink(directory / "a", directory / "s");
  fs::create_hard_link(directory / "a", directory / "h");
  EXPECT_TRUE(is_same_file(directory / "a", directory / "s"));
  EXPECT_TRUE(is_same_file(directory / "a", directory / "h"));
  EXPECT_FALSE(is_same_file(directory / "a", directory / "none"));
}

TEST(Hash, sha256_of_abc) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
