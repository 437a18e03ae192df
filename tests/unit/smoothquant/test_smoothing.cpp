// Scales by hand, mappings of grouped heads, and that folding leaves a model the function it was.
#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/core/half.hpp"
#include "llmq/smoothquant/column_ranges.hpp"
#include "llmq/smoothquant/mapping.hpp"
#include "llmq/smoothquant/scales.hpp"
#include "llmq/smoothquant/smoothed_source.hpp"

#include "support/every_target.hpp"
#include "support/logits.hpp"

namespace {
using namespace llmq;
using namespace llmq::testing_support;

TEST(SmoothScales, by_hand) {
  const ChannelRanges ranges{{4, 100, 0, 3, 1e-30F}, {1, 0.25, 2, 0, 1}};
  const std::vector<float> half = smooth_scales(ranges, 0.5);
  EXPECT_FLOAT_EQ(half[0], 2);
  EXPECT_FLOAT_EQ(half[1], 20);
  EXPECT_EQ(half[2], 1) << "no input";
  EXPECT_EQ(half[3], 1) << "no weight";
  EXPECT_FLOAT_EQ(half[4], 1e-5F) << "the least scale";
  EXPECT_FLOAT_EQ(smooth_scales(ranges, 0)[1], 4) << "weights all alike";
  EXPECT_FLOAT_EQ(smooth_scales(ranges, 1)[1], 100) << "inputs all alike";
  EXPECT_THROW(smooth_scales({{std::numeric_limits<float>::infinity()}, {1}}, 0.5), Error);
}

TEST(SmoothScales, a_rounded_norm_keeps_the_function) {
  std::vector<float> norm = {1.2345F, -0.777F, 0, 3e-5F};
  const std::vector<float> original = norm, wanted = {3.3F, 0.37F, 7, 11};
  const std::vector<float> scales = scales_of_stored_norm(norm, wanted, DType::BF16);
  for (std::size_t j = 0; j < norm.size(); ++j) {
    EXPECT_EQ(norm[j], bf16_to_f32(f32_to_bf16(norm[j]))) << "not a stored value";
    EXPECT_NEAR(norm[j] * scales[j], original[j], 1e-7 * std::fabs(original[j]));
    EXPECT_NEAR(scales[j], wanted[j], 0.004 * wanted[j]);
  }
}

TEST(WeightColumns, by_hand_and_the_same_on_every_target) {
  constexpr std::size_t kWidth = 37, kRows = 41;
  std::vector<float> rows(kWidth * kRows);
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i] = static_cast<float>(std::sin(static_cast<double>(i * i % 1013)) *
                                 std::exp2(static_cast<double>(i % 23) - 11));
  WeightColumns plain{std::vector<float>(kWidth, 0), std::vector<float>(kWidth, 0)};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    plain.largest[i % kWidth] = std::max(plain.largest[i % kWidth], std::fabs(rows[i]));
    plain.squares[i % kWidth] += rows[i] * rows[i];
  }
  test::for_every_target([&](const char* target) {
    WeightColumns columns{std::vector<float>(kWidth, 0), std::vector<float>(kWidth, 0)};
    add_rows(std::span<const float>(rows).first(kWidth * 19), columns);
    add_rows(std::span<const float>(rows).subspan(kWidth * 19), columns);
    EXPECT_EQ(columns.largest, plain.largest) << target;
    EXPECT_EQ(columns.squares, plain.squares) << target;
    std::vector<float> bad = rows;
    bad[kWidth + 3] = std::numeric_limits<float>::quiet_NaN();
    add_rows(bad, columns);
    EXPECT_FALSE(std::isfinite(columns.squares[3])) << target;
  });
}

TEST(SmoothScales, a_norm_that_is_stored_less_one_keeps_the_function) {
  std::vector<float> norm = {1.25F, 0.5F, 3.0078125F, 1.0F};
  const std::vector<float> original = norm, wanted = {3.3F, 0.37F, 7, 11};
  const std::vector<float> scales = scales_of_stored_norm(norm, wanted, DType::BF16, 1);
  for (std::size_t j = 0; j < norm.size(); ++j) {
    EXPECT_EQ(norm[j] - 1, bf16_to_f32(f32_to_bf16(norm[j] - 1))) << "not a stored value";
    EXPECT_NEAR(norm[j] * scales[j], original[j], 1e-6 * std::fabs(original[j]));
    EXPECT_NEAR(scales[j], wanted[j], 0.02 * wanted[j]);
  }
}

TEST(SmoothScales, a_norm_that_cannot_be_stored_divided_stays) {
  // Smallest F16 above 0: 6e-8, largest: 65504.
  std::vector<float> norm = {1e-3F, 200, -0.5F, 0, 1};
  const std::vector<float> original = norm;
  const std::vector<float> scales =
      scales_of_stored_norm(norm, std::vector<float>{1e5F, 1e-5F, 1e8F, 1e8F, 2}, DType::F16);
  EXPECT_NEAR(norm[0], 1e-3, 1e-6);
  EXPECT_EQ(norm[1], 200);
  EXPECT_EQ(norm[2], -0.5F);
  EXPECT_EQ(norm[3], 0);
  EXPECT_EQ(norm[4], 0.5F);
  EXPECT_EQ(scales[1], 1);
  EXPECT_EQ(scales[2], 1);
  EXPECT_EQ(scales[3], 1e8F) << "a norm of 0 keeps its scale";
  EXPECT_EQ(scales[4], 2);
  for (const std::size_t j : {0u, 1u, 2u, 4u})
    EXPECT_NEAR(norm[j] * scales[j], original[j], 1e-7 * std::fabs(original[j]));
  // BF16 has the exponents of f32: the quotient itself is out of range.
  std::vector<float> wide = {1e-35F, 1e35F};
  EXPECT_EQ(scales_of_stored_norm(wide, std::vector<float>{1e20F, 1e-5F}, DType::BF16)[0],
            1e-35F / bf16_to_f32(f32_to_bf16(1e-35F)));
  EXPECT_TRUE(std::isfinite(wide[1]));
}

ModelSpec grouped() {
  ModelSpec spec;
  spec.n_layers = 2;
  spec.hidden_size = 64;
  spec.intermediate_size = 96;
  spec.n_heads = 6;
  spec.n_kv_heads = 2;
  spec.head_dim = 8;
  return spec;
}

TEST(Mappings, cover_every_product_of_a_layer_once) {
  const auto mappings = smooth_mappings(grouped());
  ASSERT_EQ(mappings.size(), 8u);
  std::vector<std::string> balanced;
  for (const SmoothMapping& mapping : mappings)
    balanced.insert(balanced.end(), mapping.balance.begin(), mapping.balance.end());
  std::sort(balanced.begin(), balanced.end());
  EXPECT_EQ(balanced.size(), 14u);
  EXPECT_EQ(std::unique(balanced.begin(), balanced.end()), balanced.end());
  EXPECT_EQ(mappings[4].name(), "blk.1.attn_norm -> attn_q, attn_k, attn_v");
}

TEST(Mappings, a_norm_with_a_bias_is_divided_whole) {
  ModelSpec spec = grouped();
  const SmoothMapping mapping = smooth_mappings(spec)[0];
  const std::vector<float> scales(64, 4.0F);
  Scalings plain, biased;
  fold(mapping, spec, scales, plain);
  spec.norm = Norm::layer;
  fold(mapping, spec, scales, biased);
  EXPECT_EQ(biased.at("blk.0.attn_norm.weight").columns, std::vector<float>(64, 0.25F));
  EXPECT_EQ(biased.at("blk.0.attn_norm.bias").columns, std::vector<float>(64, 0.25F));
  EXPECT_EQ(biased.at("blk.0.attn_k.weight").columns, scales);
  EXPECT_FALSE(plain.contains("blk.0.attn_norm.bias")) << "other models keep their fingerprints";
}

TEST(Mappings, heads_of_a_group_share_the_channels_of_their_value_head) {
  const SmoothMapping value = smooth_mappings(grouped())[1];
  ASSERT_EQ(value.kind, FoldKind::value);
  EXPECT_EQ(channel_of_column(value, grouped(), 0), 0u);
  EXPECT_EQ(channel_of_column(value, grouped(), 2 * 8 + 5), 5u) << "third head of the first group";
  EXPECT_EQ(channel_of_column(value, grouped(), 3 * 8 + 5), 13u) << "first head of the second";
  std::vector<float> columns(48, 1);
  columns[2 * 8 + 5] = 9;
  const std::vector<float> largest = largest_of_channels(value, grouped(), columns);
  ASSERT_EQ(largest.size(), 16u);
  EXPECT_EQ(largest[5], 9);
  EXPECT_EQ(largest[13], 1);
}

/// Scales between 1/8 and 8, and a hundred in some channels.
Scalings wild_scalings(const ModelSpec& spec) {
  Scalings scalings;
  for (const SmoothMapping& mapping : smooth_mappings(spec)) {
    std::vector<float> scales(mapping.channels);
    for (std::size_t j = 0; j < scales.size(); ++j)
      scales[j] =
          j % 53 == 7
              ? 100.0F
              : static_cast<float>(std::exp2(3 * std::sin(static_cast<double>(j * 7 + mapping.layer))));
    fold(mapping, spec, scales, scalings);
  }
  return scalings;
}

class Folding : public testing::TestWithParam<const char*> {};

TEST_P(Folding, leaves_the_logits_what_they_were) {
  const auto source = open_model(std::filesystem::path(LLMQ_TEST_DATA) / GetParam());
  const SmoothedSource smoothed(*source, wild_scalings(source->spec()));
  const std::vector<float> original = logits_of(*source);
  const std::vector<float> folded = logits_of(smoothed);
  EXPECT_LT(relative_difference(original, folded), 1e-4);
  EXPECT_NE(original, folded) << "nothing was folded";
  EXPECT_NE(source->fingerprint(), smoothed.fingerprint());
  // A fold that forgets its other side is another function: this test can fail.
  Scalings half = wild_scalings(source->spec());
  half.erase("blk.0.attn_output.weight");
  EXPECT_GT(relative_difference(original, logits_of(SmoothedSource(*source, half))), 1e-2);
}

INSTANTIATE_TEST_SUITE_P(Models, Folding, testing::Values("pebble", "stories260k-wide256", "stories260k"));

}  // namespace
