// Files of llama.cpp's two forms: round trips, what they lose, what is refused; and where a matrix says
// nothing.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/formats/imatrix.hpp"

#include "support/scratch.hpp"

namespace {
using namespace llmq;
namespace fs = std::filesystem;
using testing::ElementsAre;
using testing_support::ScratchDirectory;

/// One dense matrix, and three experts of which the second saw no token. All values are exact in f32.
Imatrix example() {
  Imatrix imatrix;
  imatrix.dataset_name = "text.txt";
  imatrix.ctx = 4;
  imatrix.samples = 3;
  ImatrixEntry dense;
  dense.in_features = 3;
  dense.sum_sq = {12, 24, 0};
  dense.sum = {-6, 3, 0};
  dense.counts = {12};
  imatrix.entries["blk.0.attn_q.weight"] = dense;
  ImatrixEntry experts;
  experts.in_features = 2;
  experts.n_mat = 3;
  experts.sum_sq = {8, 4, 0, 0, 2, 0};
  experts.counts = {8, 0, 4};
  imatrix.entries["blk.1.ffn_down_exps.weight"] = experts;
  return imatrix;
}

Imatrix written(const Imatrix& imatrix, ImatrixFileFormat format) {
  const ScratchDirectory scratch;
  write_imatrix(imatrix, scratch / "a.imatrix", format);
  EXPECT_TRUE(looks_like_imatrix(scratch / "a.imatrix"));
  const Imatrix back = read_imatrix(scratch / "a.imatrix");
  // What was read is what the format holds: written again it has the same bytes.
  write_imatrix(back, scratch / "b.imatrix", format);
  EXPECT_EQ(read_file(scratch / "a.imatrix", 1 << 20), read_file(scratch / "b.imatrix", 1 << 20));
  return back;
}

TEST(ImatrixFiles, every_format_has_a_name_and_brings_importance_back) {
  ASSERT_EQ(imatrix_formats().size(), 3u);
  const Imatrix original = example();
  for (const auto& [format, name] : imatrix_formats()) {
    EXPECT_EQ(name_of(format), name);
    const Imatrix back = written(original, format);
    for (const auto& [entry_name, entry] : original.entries) {
      const auto fitted = fit_entry(back.entries.at(entry_name), entry.in_features, entry.n_mat);
      ASSERT_TRUE(fitted) << name;
      for (std::uint64_t mat = 0; mat < entry.n_mat; ++mat)
        EXPECT_EQ(fitted->importance(mat), entry.importance(mat)) << name << " " << entry_name;
    }
    EXPECT_EQ(back.samples, 3u) << name;
    EXPECT_EQ(back.dataset_name, "text.txt") << name;
  }
}

TEST(ImatrixFiles, gguf_holds_sums_counts_and_ctx) {
  const Imatrix original = example();
  const Imatrix back = written(original, ImatrixFileFormat::gguf);
  EXPECT_EQ(back.content_hash(), original.content_hash());
  EXPECT_TRUE(lost_in(original, ImatrixFileFormat::gguf).empty());
  EXPECT_EQ(back.entries.at("blk.0.attn_q.weight").sum, (std::vector<double>{-6, 3, 0}));
}

TEST(ImatrixFiles, dat_holds_means_times_calls) {
  const Imatrix back = written(example(), ImatrixFileFormat::dat);
  const ImatrixEntry& dense = back.entries.at("blk.0.attn_q.weight");
  EXPECT_TRUE(back.counts_are_calls);
  EXPECT_THAT(dense.counts, ElementsAre(3));  // 12 tokens in samples of 4
  EXPECT_THAT(dense.sum_sq, ElementsAre(3, 6, 0));
  const ImatrixEntry& experts = back.entries.at("blk.1.ffn_down_exps.weight");
  EXPECT_THAT(experts.counts, ElementsAre(2));
  EXPECT_THAT(experts.sum_sq, ElementsAre(2, 1, 2, 2, 1, 0));  // the expert without tokens: 1 times 2 calls
  EXPECT_THAT(lost_in(example(), ImatrixFileFormat::dat),
              ElementsAre("sums of a", "token counts", "counts of single experts", "tokens a sample"));
}

TEST(ImatrixFiles, values_that_f32_cannot_hold_are_rounded_and_named) {
  Imatrix imatrix = example();
  ImatrixEntry& entry = imatrix.entries.at("blk.0.attn_q.weight");
  entry.sum_sq[0] = 1.0 / 3;
  for (const ImatrixFileFormat format : {ImatrixFileFormat::gguf, ImatrixFileFormat::dat}) {
    EXPECT_THAT(lost_in(imatrix, format), testing::Contains("precision beyond f32"));
    EXPECT_FLOAT_EQ(written(imatrix, format).entries.at("blk.0.attn_q.weight").importance()[0],
                    entry.importance()[0]);
  }
  entry.counts = {(1 << 24) + 1};
  entry.sum_sq[0] = 1;
  EXPECT_THAT(lost_in(imatrix, ImatrixFileFormat::gguf), ElementsAre("precision beyond f32"));
  entry.sum_sq[0] = 1e39;
  const ScratchDirectory scratch;
  EXPECT_THROW(write_imatrix_gguf(imatrix, scratch / "a"), Error);
  EXPECT_FALSE(fs::exists(scratch / "a"));
}

TEST(ImatrixFiles, sensitivities_stand_in_the_place_of_squares) {
  Imatrix imatrix = example();
  imatrix.method = "fisher_information";
  imatrix.model_hash = "sha256:aa";
  imatrix.super_weights.searched = true;
  ImatrixEntry& entry = imatrix.entries.at("blk.0.attn_q.weight");
  entry.sum_quad = {1, 2, 3};
  entry.sensitivity = {{1, 2, 4}, {3, 5}, {2}, 4};
  const auto values = [&](ImatrixFileFormat format) {
    return written(imatrix, format).entries.at("blk.0.attn_q.weight");
  };
  EXPECT_EQ(values(ImatrixFileFormat::hdf5).importance(), entry.importance());
  EXPECT_THAT(values(ImatrixFileFormat::gguf).sum_sq, ElementsAre(1, 2, 4));
  EXPECT_THAT(values(ImatrixFileFormat::gguf).counts, ElementsAre(4));
  EXPECT_TRUE(values(ImatrixFileFormat::gguf).sum.empty());
  EXPECT_EQ(values(ImatrixFileFormat::dat).importance(), entry.importance());
  EXPECT_THAT(lost_in(imatrix, ImatrixFileFormat::gguf),
              ElementsAre("the method", "sums of a", "sums of a^2", "sums of a^4 and max |a|",
                          "sensitivities of rows", "hashes of model, tokenizer and data", "super weights"));
  EXPECT_TRUE(lost_in(imatrix, ImatrixFileFormat::hdf5).empty());
}

TEST(ImatrixFiles, what_a_format_cannot_express_is_refused_and_nothing_is_left) {
  const ScratchDirectory scratch;
  Imatrix long_name = example();
  long_name.entries[std::string(56, 'x')] = long_name.entries.begin()->second;
  EXPECT_THROW(write_imatrix_gguf(long_name, scratch / "a"), Error);
  write_imatrix_dat(long_name, scratch / "b");  // 63 bytes are enough
  long_name.entries[std::string(64, 'x')] = long_name.entries.begin()->second;
  EXPECT_THROW(write_imatrix_dat(long_name, scratch / "a"), Error);
  Imatrix many = example();
  many.samples = std::uint64_t{1} << 40;
  EXPECT_THROW(write_imatrix_gguf(many, scratch / "a"), Error);
  EXPECT_THROW(write_imatrix_dat(many, scratch / "a"), Error);
  EXPECT_FALSE(fs::exists(scratch / "a"));
}

TEST(ImatrixFiles, torn_and_damaged_files_of_llama_cpps_forms_are_refused_or_read_as_numbers) {
  const ScratchDirectory scratch;
  for (const auto& [format, name] : imatrix_formats()) {
    if (format == ImatrixFileFormat::hdf5) continue;
    write_imatrix(example(), scratch / "a", format);
    const std::string whole = read_file(scratch / "a", 1 << 20);
    // Neither has a checksum. Behind the entries of a .dat a trailer may be missing.
    const std::size_t needed = format == ImatrixFileFormat::dat ? whole.size() - 20 : whole.size() - 32;
    for (std::size_t length = 0; length < needed; ++length) {
      write_file_atomically(scratch / "cut", whole.substr(0, length));
      EXPECT_THROW(read_imatrix(scratch / "cut"), Error) << name << " " << length;
    }
    for (std::size_t at = 0; at < whole.size(); ++at) {
      std::string flipped = whole;
      flipped[at] = static_cast<char>(flipped[at] ^ 0x81);
      write_file_atomically(scratch / "flip", flipped);
      try {
        for (const auto& [entry_name, entry] : read_imatrix(scratch / "flip").entries) {
          ASSERT_EQ(entry.sum_sq.size(), entry.in_features * entry.n_mat);
          ASSERT_EQ(entry.counts.size(), entry.n_mat);
        }
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::imatrix) << name << " " << at;
      }
    }
  }
}

TEST(ImatrixFiles, a_text_is_no_dat) {
  const ScratchDirectory scratch;
  for (const char* text : {"", "{\n  \"a\": 1}", "plain words of a text"}) {
    write_file_atomically(scratch / "text", text);
    EXPECT_FALSE(looks_like_imatrix(scratch / "text")) << text;
  }
}

TEST(FitEntry, one_row_of_all_experts_is_cut_and_other_shapes_are_refused) {
  const Imatrix legacy = written(example(), ImatrixFileFormat::dat);
  const ImatrixEntry& row = legacy.entries.at("blk.1.ffn_down_exps.weight");
  const auto cut = fit_entry(row, 2, 3);
  ASSERT_TRUE(cut);
  EXPECT_THAT(cut->counts, ElementsAre(2, 2, 2));
  EXPECT_THAT(cut->importance(0), ElementsAre(1, 0.5F));
  EXPECT_THAT(cut->importance(1), ElementsAre(1, 1));
  EXPECT_THAT(cut->importance(2), ElementsAre(0.5F, 0));
  EXPECT_FALSE(fit_entry(row, 3, 3));
  EXPECT_FALSE(fit_entry(row, 3, 1));
  EXPECT_FALSE(fit_entry(*cut, 6, 1));
  EXPECT_TRUE(fit_entry(row, 6, 1));
}

TEST(ImatrixGaps, dead_columns_and_experts_without_tokens_are_found_and_named) {
  const ImatrixGaps gaps = find_gaps(example());
  EXPECT_THAT(gaps.dead_columns,
              ElementsAre(std::pair<const std::string, std::uint64_t>("blk.0.attn_q.weight", 1),
                          std::pair<const std::string, std::uint64_t>("blk.1.ffn_down_exps.weight", 1)));
  EXPECT_THAT(gaps.without_tokens, ElementsAre("blk.1.ffn_down_exps.weight[1]"));
  EXPECT_EQ(gaps.count_dead_columns(), 2u);
  ASSERT_EQ(gaps.lines().size(), 2u);
  EXPECT_THAT(gaps.lines()[0],
              testing::HasSubstr("2 in blk.0.attn_q.weight (1), blk.1.ffn_down_exps.weight (1)"));
}

TEST(ImatrixGaps, lines_stay_short) {
  Imatrix imatrix;
  for (int i = 0; i < 1000; ++i) {
    ImatrixEntry& entry = imatrix.entries[fmt::format("blk.{}.ffn_up_exps.weight", i)];
    entry.in_features = 1;
    entry.n_mat = 2;
    entry.sum_sq = {0, 0};
    entry.counts = {1, 0};
  }
  for (const std::string& line : find_gaps(imatrix).lines()) {
    EXPECT_LT(line.size(), 400u);
    EXPECT_THAT(line, testing::HasSubstr("and 995 more"));
  }
}

}  // namespace
