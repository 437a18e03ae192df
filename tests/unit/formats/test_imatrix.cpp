// Importance matrices: three formats read, HDF5 round trip with equal bytes, damage refused.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/formats/imatrix.hpp"

#include "support/scratch.hpp"

namespace {
using namespace llmq;
namespace fs = std::filesystem;
using testing_support::ScratchDirectory;

fs::path vectors() { return fs::path(LLMQ_TEST_DATA) / "vectors/imatrix"; }

Imatrix example() {
  Imatrix imatrix;
  imatrix.dataset_name = "text.txt";
  imatrix.dataset_hash = "sha256:aa";
  imatrix.ctx = 512;
  imatrix.samples = 3;
  ImatrixEntry entry;
  entry.in_features = 3;
  entry.n_mat = 2;
  entry.sum_sq = {1, 2, 3, 4, 5, 6};
  entry.sum = {-1, 0, 1, 2, 3, 4};
  entry.sum_quad = {1, 4, 9, 16, 25, 36};
  entry.max_abs = {1, 2, 3, 4, 5, 6};
  entry.counts = {2, 0};
  imatrix.entries["blk.1.ffn_down_exps.weight"] = entry;
  imatrix.entries["blk.0.attn_q.weight"] = entry;
  return imatrix;
}

TEST(ImatrixEntry, importance_is_the_mean_square_and_one_without_tokens) {
  const ImatrixEntry entry = example().entries.begin()->second;
  EXPECT_EQ(entry.importance(0), (std::vector<float>{0.5F, 1.0F, 1.5F}));
  EXPECT_EQ(entry.importance(1), (std::vector<float>{1.0F, 1.0F, 1.0F}));
}

TEST(ImatrixFormats, both_llama_cpp_formats_give_the_expected_values) {
  const auto expected = nlohmann::json::parse(read_file(vectors() / "expected.json", 1 << 20));
  const std::string text = expected.dump();
  for (const char* name : {"legacy.dat", "imatrix.gguf"}) {
    const Imatrix imatrix = read_imatrix(vectors() / name);
    EXPECT_GE(imatrix.entries.size(), 14u) << name;
    for (const auto& [entry_name, entry] : imatrix.entries) {
      EXPECT_NE(text.find(entry_name), std::string::npos) << entry_name;
      for (const float value : entry.importance()) EXPECT_GE(value, 0);
    }
  }
  // The two files hold the same data.
  const Imatrix legacy = read_imatrix(vectors() / "legacy.dat");
  const Imatrix gguf = read_imatrix(vectors() / "imatrix.gguf");
  for (const auto& [name, entry] : legacy.entries) {
    const auto a = entry.importance();
    const auto b = gguf.entries.at(name).importance();
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t j = 0; j < a.size(); ++j) EXPECT_NEAR(a[j], b[j], 1e-6F * (1 + a[j]));
  }
}

TEST(ImatrixHdf5, round_trip_is_exact_and_equal_content_gives_equal_bytes) {
  const ScratchDirectory scratch;
  const Imatrix original = example();

  write_imatrix_hdf5(original, scratch / "a.imatrix");
  write_imatrix_hdf5(original, scratch / "b.imatrix");
  const Imatrix back = read_imatrix(scratch / "a.imatrix");

  EXPECT_EQ(read_file(scratch / "a.imatrix", 1 << 20), read_file(scratch / "b.imatrix", 1 << 20));
  EXPECT_EQ(back.content_hash(), original.content_hash());
  EXPECT_TRUE(looks_like_imatrix(scratch / "a.imatrix"));
}

TEST(ImatrixHdf5, truncated_and_damaged_files_are_refused) {
  const ScratchDirectory scratch;
  write_imatrix_hdf5(example(), scratch / "a.imatrix");
  const std::string whole = read_file(scratch / "a.imatrix", 1 << 20);
  for (std::size_t length = 0; length < whole.size() - 1; length += 97) {
    write_file_atomically(scratch / "cut.imatrix", whole.substr(0, length));
    EXPECT_THROW(read_imatrix(scratch / "cut.imatrix"), Error) << length;
  }
  int refused = 0;
  for (std::size_t at = 0; at < whole.size(); at += 31) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
    write_file_atomically(scratch / "flip.imatrix", flipped);
    try {
      // A flipped byte that nobody reads may pass; content that differs may not.
      EXPECT_EQ(read_imatrix(scratch / "flip.imatrix").content_hash(), example().content_hash()) << at;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::imatrix);
      ++refused;
    }
  }
  EXPECT_GT(refused, 10);
}

TEST(ImatrixFormats, torn_legacy_files_are_refused) {
  const ScratchDirectory scratch;
  const std::string whole = read_file(vectors() / "legacy.dat", 1 << 20);
  for (std::size_t length = 0; length + 20 < whole.size(); length += 7) {
    write_file_atomically(scratch / "cut.dat", whole.substr(0, length));
    EXPECT_THROW(read_imatrix(scratch / "cut.dat"), Error) << length;
  }
}

}  // namespace
