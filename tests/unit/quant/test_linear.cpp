// The vector encoders of the linear, ternary and four-bit float types give the reference's bytes on every
// instruction set.
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "quant/reference/families.hpp"
#include "quant/simd/linear.hpp"
#include "quant/simd/small.hpp"
#include "same_bytes.hpp"

namespace llmq {
namespace {

EncodeRow vector_encoder(GgmlType type) {
  const EncodeRow linear = simd::linear_encoder(type);
  return linear != nullptr ? linear : simd::small_encoder(type);
}

/// The reference's encoder of each type that has a vector form.
std::vector<Codec> linear_codecs() {
  std::vector<Codec> all;
  const auto add = [&](std::span<const Codec> family) {
    for (const Codec& codec : family) {
      if (vector_encoder(codec.type) != nullptr) all.push_back(codec);
    }
  };
  add(kLegacyCodecs), add(kKCodecs), add(kSmallKCodecs), add(kLevelCodecs), add(kTernaryCodecs);
  return all;
}

void expect_same_bytes(const std::vector<float>& row, const std::vector<float>& importance,
                       std::string_view what) {
  for (const Codec& codec : linear_codecs()) {
    if (row.size() % block_type(codec.type).block_elems != 0) continue;
    test::expect_same_bytes(codec, vector_encoder(codec.type), row, importance, what);
  }
}

TEST(Linear, there_are_fourteen_types) { EXPECT_EQ(linear_codecs().size(), 14u); }

TEST(Linear, rows_of_every_length_equal_the_reference) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 0.02F);
  for (const std::size_t length : {32u, 96u, 256u, 288u, 768u, 1056u, 2048u}) {
    std::vector<float> row(length);
    for (float& value : row) value = normal(random);
    expect_same_bytes(row, {}, "gaussian");
    expect_same_bytes(row, test::draw_importance(length), "gaussian");
  }
}

TEST(Linear, outliers_and_ties_equal_the_reference) {
  std::mt19937 random(6);
  std::student_t_distribution<float> heavy(2);
  std::vector<float> row(4096);
  for (float& value : row) value = 0.02F * heavy(random);
  expect_same_bytes(row, {}, "heavy tails");
  expect_same_bytes(row, test::draw_importance(row.size()), "heavy tails");
  for (std::size_t i = 0; i < row.size(); ++i)
    row[i] = 0.125F * static_cast<float>(static_cast<int>(i % 33) - 16);
  expect_same_bytes(row, {}, "few values");
  expect_same_bytes(row, test::draw_importance(row.size()), "few values");
}

TEST(Linear, hard_rows_equal_the_reference) {
  std::mt19937 random(8);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> row(64 * 256);
  for (std::size_t block = 0; block < 64; ++block) {
    const float scale = std::ldexp(1.0F, static_cast<int>(block) * 4 - 140);  // denormals to beyond half
    for (std::size_t i = 0; i < 256; ++i) row[block * 256 + i] = normal(random) * scale;
  }
  std::fill_n(row.begin(), 256, 0.0F);
  std::fill_n(row.begin() + 256, 256, -0.0F);
  std::fill_n(row.begin() + 512, 256, 0.25F);
  for (std::size_t i = 0; i < 256; ++i) {
    row[768 + i] = i % 2 == 0 ? 3e38F : -3e38F;
    row[1024 + i] = i == 77 ? 1e9F : 1e-9F;
    row[1280 + i] = i < 128 ? -0.0F : 7e4F;
  }
  std::vector<float> dead(row.size(), 0.0F);
  expect_same_bytes(row, {}, "hard blocks");
  expect_same_bytes(row, dead, "dead columns");
  expect_same_bytes(row, test::draw_importance(row.size()), "hard blocks");
  for (std::size_t i = 0; i < row.size(); i += 512)
    std::fill_n(dead.begin() + static_cast<std::ptrdiff_t>(i), 256, 1e30F);
  expect_same_bytes(row, dead, "huge importance");
}

}  // namespace
}  // namespace llmq
