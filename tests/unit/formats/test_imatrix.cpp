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

Imatrix example_with_super_weights() {
  Imatrix imatrix = example();
  imatrix.method = "fisher_information";
  imatrix.entries["blk.0.attn_q.weight"].sensitivity = {{1, 2, 4, 8, 16, 32}, {3, 5, 7, 9}, {2, 6}, 4};
  imatrix.super_weights.searched = true;
  imatrix.super_weights.coverage = 0.25;
  imatrix.super_weights.spikes = {{"blk.0.attn_q.weight", 1, 2, -7.5, 300, 800, 2.25, 1.5},
                                  {"blk.0.attn_q.weight", 0, 0, 3, 30, 80, 0.25, 0.5}};
  imatrix.super_weights.covered["blk.0.attn_q.weight"] = {0, 3};
  imatrix.super_weights.covered["blk.1.ffn_down_exps.weight"] = {2};
  return imatrix;
}

TEST(ImatrixEntry, sensitivity_is_the_importance_where_it_was_measured) {
  const Imatrix imatrix = example_with_super_weights();
  const ImatrixEntry& entry = imatrix.entries.at("blk.0.attn_q.weight");
  EXPECT_EQ(entry.importance(0), (std::vector<float>{0.25F, 0.5F, 1.0F}));
  EXPECT_EQ(entry.importance(1), (std::vector<float>{2.0F, 4.0F, 8.0F}));
}

TEST(Imatrix, a_weight_that_is_a_spike_and_covered_counts_once) {
  EXPECT_EQ(example().count_super_weights(), 0u);
  EXPECT_EQ(example_with_super_weights().count_super_weights(),
            4u);  // 3 covered; spike (0, 0) is one of them
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

TEST(ImatrixHdf5, sensitivities_and_super_weights_come_back) {
  const ScratchDirectory scratch;
  const Imatrix original = example_with_super_weights();

  write_imatrix_hdf5(original, scratch / "a.imatrix");
  const Imatrix back = read_imatrix(scratch / "a.imatrix");

  const Sensitivity& values = back.entries.at("blk.0.attn_q.weight").sensitivity;
  EXPECT_EQ(values.columns, (std::vector<double>{1, 2, 4, 8, 16, 32}));
  EXPECT_EQ(values.rows, (std::vector<double>{3, 5, 7, 9}));
  EXPECT_EQ(values.scores, (std::vector<double>{2, 6}));
  EXPECT_EQ(values.samples, 4u);
  EXPECT_TRUE(back.entries.at("blk.1.ffn_down_exps.weight").sensitivity.empty());
  ASSERT_EQ(back.super_weights.spikes.size(), 2u);
  EXPECT_EQ(back.super_weights.spikes[0].value, -7.5);
  EXPECT_EQ(back.super_weights.spikes[0].kl_divergence, 1.5);
  EXPECT_EQ(back.super_weights.covered, original.super_weights.covered);
  EXPECT_EQ(back.content_hash(), original.content_hash());
}

TEST(ImatrixHdf5, all_content_is_hashed) {
  const std::string hash = example_with_super_weights().content_hash();
  Imatrix changed = example_with_super_weights();
  changed.entries["blk.0.attn_q.weight"].sensitivity.rows[1] = 6;
  EXPECT_NE(changed.content_hash(), hash);
  changed = example_with_super_weights();
  changed.super_weights.spikes[0].column = 1;
  EXPECT_NE(changed.content_hash(), hash);
  changed = example_with_super_weights();
  changed.super_weights.covered["blk.0.attn_q.weight"] = {0, 4};
  EXPECT_NE(changed.content_hash(), hash);
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
