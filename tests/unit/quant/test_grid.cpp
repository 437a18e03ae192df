// The vector encoders of the grid types give the reference's bytes on every instruction set; the codebook of
// IQ1 is never more than two changes away.
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "quant/codebooks.hpp"
#include "quant/reference/families.hpp"
#include "quant/simd/grid.hpp"
#include "same_bytes.hpp"

namespace llmq {
namespace {

void expect_same_bytes(const std::vector<float>& row, const std::vector<float>& importance,
                       std::string_view what) {
  for (const Codec& codec : kGridCodecs) {
    test::expect_same_bytes(codec, simd::grid_encoder(codec.type), row, importance, what);
  }
}

TEST(Grid, gaussian_and_heavy_rows_equal_the_reference) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 0.02F);
  std::student_t_distribution<float> heavy(2);
  std::vector<float> row(2048);
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = i < 1024 ? normal(random) : 0.02F * heavy(random);
  expect_same_bytes(row, {}, "random rows");
  expect_same_bytes(row, test::draw_importance(row.size()), "random rows");
}

TEST(Grid, ties_equal_the_reference) {
  std::vector<float> row(1024);
  for (std::size_t i = 0; i < row.size(); ++i)
    row[i] = 0.125F * static_cast<float>(static_cast<int>(i % 9) - 4);
  expect_same_bytes(row, {}, "few values");
  expect_same_bytes(row, test::draw_importance(row.size()), "few values");
}

TEST(Grid, hard_rows_equal_the_reference) {
  std::mt19937 random(8);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> row(20 * 256);
  for (std::size_t block = 0; block < 20; ++block) {
    const float scale = std::ldexp(1.0F, static_cast<int>(block) * 13 - 140);  // denormals to beyond half
    for (std::size_t i = 0; i < 256; ++i) row[block * 256 + i] = normal(random) * scale;
  }
  std::fill_n(row.begin(), 256, 0.0F);
  std::fill_n(row.begin() + 256, 256, -0.0F);
  for (std::size_t i = 0; i < 256; ++i) {
    row[512 + i] = i % 2 == 0 ? 3e38F : -3e38F;
    row[768 + i] = i == 77 ? 1e9F : 1e-9F;
    row[1024 + i] = i < 128 ? -0.0F : 7e4F;
  }
  expect_same_bytes(row, {}, "hard blocks");
  expect_same_bytes(row, std::vector<float>(row.size(), 0.0F), "dead columns");
  expect_same_bytes(row, test::draw_importance(row.size()), "hard blocks");
  expect_same_bytes(row, std::vector<float>(row.size(), 1e30F), "huge importance");
}

// What the search of IQ1 relies on: from every code, flipping at most two values leads to a codeword.
TEST(Grid, every_ternary_code_is_at_most_two_flips_from_a_codeword) {
  const auto& members = codebooks::iq1_members();
  for (std::size_t code = 0; code < 65536; ++code) {
    ASSERT_TRUE(members[2 * code] != 0 || members[2 * code + 1] != 0) << code;
  }
}

TEST(Grid, ternary_codes_name_the_codewords_they_spell) {
  const auto index = codebooks::iq1_index_of_code();
  std::size_t found = 0;
  for (std::size_t code = 0; code < 65536; ++code) {
    if (index[code] < 0) continue;
    ++found;
    for (std::size_t e = 0; e < 8; ++e) {
      ASSERT_EQ(codebooks::iq1()[static_cast<std::size_t>(index[code])][e],
                codebooks::kTernaryOfCode[(code >> (2 * e)) & 3u]);
    }
  }
  EXPECT_GT(found, 2048u);  // zeros are spelled in two ways
}

}  // namespace
}  // namespace llmq
