// Merging importance matrices: sums, counts and maxima; the same bytes in any order; what is left out and
// what is refused.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/formats/imatrix_merge.hpp"

#include "support/scratch.hpp"

namespace {
using namespace llmq;
using testing::ElementsAre;
using testing::HasSubstr;
using testing_support::ScratchDirectory;

constexpr const char* kName = "blk.0.attn_q.weight";

/// Values whose sum depends on the order it is taken in.
NamedImatrix part(int seed) {
  NamedImatrix named{fmt::format("part{}.imatrix", seed), {}};
  Imatrix& imatrix = named.imatrix;
  imatrix.dataset_name = fmt::format("text{}.txt", seed);
  imatrix.dataset_hash = fmt::format("sha256:{}", seed);
  imatrix.model_hash = "sha256:model";
  imatrix.ctx = 8;
  imatrix.samples = 2;
  ImatrixEntry& entry = imatrix.entries[kName];
  entry.in_features = 2;
  const double scale = std::pow(0.3, seed);
  entry.sum_sq = {scale, 1 / scale};
  entry.sum = {-scale, scale};
  entry.sum_quad = {scale * scale, 1};
  entry.max_abs = {static_cast<float>(seed), 1};
  entry.counts = {16};
  return named;
}

std::string refusal(std::vector<NamedImatrix> inputs) {
  try {
    (void)merge_imatrices(std::move(inputs));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::imatrix);
    EXPECT_FALSE(error.suggestion().empty());
    return error.what();
  }
  return "";
}

TEST(MergeImatrices, sums_counts_and_samples_add_and_maxima_are_compared) {
  const MergedImatrix merged = merge_imatrices({part(0), part(1)});
  const ImatrixEntry& entry = merged.imatrix.entries.at(kName);
  EXPECT_THAT(entry.sum_sq, ElementsAre(1.3, 1 + 1 / 0.3));
  EXPECT_THAT(entry.sum, ElementsAre(-1.3, 1.3));
  EXPECT_THAT(entry.max_abs, ElementsAre(1, 1));
  EXPECT_THAT(entry.counts, ElementsAre(32));
  EXPECT_EQ(merged.imatrix.samples, 4u);
  EXPECT_EQ(merged.imatrix.ctx, 8u);
  EXPECT_EQ(merged.imatrix.dataset_name, "text0.txt+text1.txt");
  EXPECT_EQ(merged.imatrix.dataset_hash.size(), 71u);
  EXPECT_EQ(merged.imatrix.model_hash, "sha256:model");
  EXPECT_TRUE(merged.notes.empty());
}

TEST(MergeImatrices, the_order_of_the_files_changes_no_byte) {
  const ScratchDirectory scratch;
  std::vector<int> order = {0, 1, 2, 3, 4};
  std::string reference;
  do {
    std::vector<NamedImatrix> inputs;
    for (const int seed : order) inputs.push_back(part(seed));
    write_imatrix_hdf5(merge_imatrices(std::move(inputs)).imatrix, scratch / "merged");
    const std::string bytes = read_file(scratch / "merged", 1 << 20);
    if (reference.empty()) reference = bytes;
    ASSERT_EQ(bytes, reference);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(MergeImatrices, one_file_stays_itself_without_super_weights) {
  NamedImatrix one = part(1);
  const std::string hash = one.imatrix.content_hash();
  one.imatrix.super_weights.searched = true;
  const MergedImatrix merged = merge_imatrices({one});
  EXPECT_EQ(merged.imatrix.content_hash(), hash);
  EXPECT_THAT(merged.notes, ElementsAre(HasSubstr("super weights are not merged")));
}

TEST(MergeImatrices, the_same_file_twice_counts_twice_and_is_told) {
  const MergedImatrix merged = merge_imatrices({part(1), part(1)});
  EXPECT_THAT(merged.imatrix.entries.at(kName).counts, ElementsAre(32));
  EXPECT_THAT(merged.notes, ElementsAre(HasSubstr("the same statistics")));
}

TEST(MergeImatrices, mixed_contexts_give_an_unknown_one) {
  NamedImatrix other = part(1);
  other.imatrix.ctx = 16;
  EXPECT_EQ(merge_imatrices({part(0), other}).imatrix.ctx, 0u);
}

TEST(MergeImatrices, statistics_that_a_file_lacks_are_left_out_and_named) {
  NamedImatrix other = part(1);
  ImatrixEntry& entry = other.imatrix.entries.at(kName);
  entry.sum_quad.clear();
  entry.max_abs.clear();
  other.imatrix.dataset_hash.clear();
  const MergedImatrix merged = merge_imatrices({part(0), other});
  EXPECT_TRUE(merged.imatrix.entries.at(kName).sum_quad.empty());
  EXPECT_TRUE(merged.imatrix.entries.at(kName).max_abs.empty());
  EXPECT_FALSE(merged.imatrix.entries.at(kName).sum.empty());
  EXPECT_TRUE(merged.imatrix.dataset_hash.empty());
  EXPECT_THAT(merged.notes,
              ElementsAre("left out, as not every file has it: max |a| (missing in part1.imatrix)",
                          "left out, as not every file has it: sums of a^4 (missing in part1.imatrix)"));
}

TEST(MergeImatrices, entries_of_some_files_are_kept_and_listed) {
  NamedImatrix other = part(1);
  other.imatrix.entries["blk.9.attn_q.weight"] = other.imatrix.entries.at(kName);
  const MergedImatrix merged = merge_imatrices({part(0), other});
  EXPECT_THAT(merged.imatrix.entries.at("blk.9.attn_q.weight").counts, ElementsAre(16));
  EXPECT_THAT(merged.notes, ElementsAre("only some of the merged files have blk.9.attn_q.weight"));
}

TEST(MergeImatrices, calls_of_a_legacy_file_become_tokens_where_ctx_is_known) {
  NamedImatrix legacy{"old.dat", {}};
  legacy.imatrix.counts_are_calls = true;
  ImatrixEntry& entry = legacy.imatrix.entries[kName];
  entry.in_features = 2;
  entry.sum_sq = {3, 6};
  entry.counts = {3};
  const MergedImatrix merged = merge_imatrices({legacy, part(0)});
  EXPECT_THAT(merged.imatrix.entries.at(kName).sum_sq, ElementsAre(3 * 8 + 1, 6 * 8 + 1));
  EXPECT_THAT(merged.imatrix.entries.at(kName).counts, ElementsAre(3 * 8 + 16));
  EXPECT_EQ(merged.imatrix.ctx, 8u);
  EXPECT_FALSE(merged.imatrix.counts_are_calls);

  NamedImatrix other = part(1);
  other.imatrix.ctx = 16;
  const MergedImatrix uneven = merge_imatrices({legacy, part(0), other});
  EXPECT_THAT(uneven.imatrix.entries.at(kName).counts, ElementsAre(3 + 16 + 16));
  EXPECT_THAT(uneven.notes, testing::Contains(HasSubstr("weigh less than tokens: old.dat")));
  EXPECT_TRUE(merge_imatrices({legacy, legacy}).imatrix.counts_are_calls);
}

TEST(MergeImatrices, one_row_of_all_experts_joins_a_file_that_tells_them_apart) {
  NamedImatrix experts = part(0);
  ImatrixEntry& apart = experts.imatrix.entries.at(kName);
  apart = {};
  apart.in_features = 1;
  apart.n_mat = 2;
  apart.sum_sq = {8, 0};
  apart.counts = {8, 0};
  NamedImatrix legacy{"old.dat", {}};
  legacy.imatrix.counts_are_calls = true;
  ImatrixEntry& row = legacy.imatrix.entries[kName];
  row.in_features = 2;
  row.sum_sq = {1, 2};
  row.counts = {1};
  const ImatrixEntry merged = merge_imatrices({legacy, experts}).imatrix.entries.at(kName);
  EXPECT_EQ(merged.n_mat, 2u);
  EXPECT_THAT(merged.sum_sq, ElementsAre(16, 16));
  EXPECT_THAT(merged.counts, ElementsAre(16, 8));
}

TEST(MergeImatrices, sensitivities_add) {
  NamedImatrix a = part(0);
  NamedImatrix b = part(1);
  a.imatrix.method = b.imatrix.method = "fisher_information";
  a.imatrix.entries.at(kName).sensitivity = {{1, 2}, {3}, {4}, 2};
  b.imatrix.entries.at(kName).sensitivity = {{10, 20}, {30}, {40}, 3};
  const Sensitivity merged = merge_imatrices({a, b}).imatrix.entries.at(kName).sensitivity;
  EXPECT_THAT(merged.columns, ElementsAre(11, 22));
  EXPECT_THAT(merged.rows, ElementsAre(33));
  EXPECT_THAT(merged.scores, ElementsAre(44));
  EXPECT_EQ(merged.samples, 5u);
  b.imatrix.entries.at(kName).sensitivity.rows.push_back(1);
  EXPECT_THAT(refusal({a, b}), HasSubstr("2 rows in part1.imatrix, 1 in part0.imatrix"));
  b.imatrix.entries.at(kName).sensitivity = {};
  EXPECT_THAT(refusal({a, b}), HasSubstr("no sensitivities in part1.imatrix, but in part0.imatrix"));
}

TEST(MergeImatrices, what_does_not_belong_together_is_refused_with_names) {
  NamedImatrix other = part(1);
  other.imatrix.method = "fisher_information";
  EXPECT_THAT(refusal({part(0), other}), testing::AllOf(HasSubstr("part0.imatrix is activation_magnitude"),
                                                        HasSubstr("part1.imatrix fisher")));
  other = part(1);
  other.imatrix.model_hash = "sha256:other";
  EXPECT_THAT(refusal({part(0), other}),
              testing::AllOf(HasSubstr("sha256:model"), HasSubstr("sha256:other")));
  other.imatrix.model_hash.clear();
  EXPECT_EQ(refusal({part(0), other}), "");
  NamedImatrix tokens = part(2);
  tokens.imatrix.tokenizer_hash = "sha256:a";
  other.imatrix.tokenizer_hash = "sha256:b";
  EXPECT_THAT(refusal({part(0), other, tokens}), HasSubstr("tokenizer of part1.imatrix"));
  other = part(1);
  other.imatrix.entries.at(kName).in_features = 1;
  other.imatrix.entries.at(kName).sum_sq = {1};
  EXPECT_THAT(refusal({part(0), other}),
              testing::AllOf(HasSubstr(kName), HasSubstr("1 x 1 columns in part1.imatrix"),
                             HasSubstr("1 x 2 in part0.imatrix")));
}

TEST(MergeImatrices, overflow_is_refused) {
  NamedImatrix other = part(1);
  other.imatrix.entries.at(kName).counts = {~std::uint64_t{0}};
  EXPECT_THAT(refusal({part(0), other}), HasSubstr("overflows 64 bits"));
  other = part(1);
  other.imatrix.samples = ~std::uint64_t{0};
  EXPECT_THAT(refusal({part(0), other}), HasSubstr("samples overflows"));
  other = part(1);
  other.imatrix.entries.at(kName).sum_sq[0] = 1.7e308;
  NamedImatrix third = part(2);
  third.imatrix.entries.at(kName).sum_sq[0] = 1.7e308;
  EXPECT_THAT(refusal({third, other}), HasSubstr("overflows"));
}

}  // namespace
