// Bits for layers from an importance matrix alone.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llmq/allocate/importance_profile.hpp"

namespace {
using namespace llmq;
using testing::ElementsAre;
using testing::IsEmpty;

std::vector<double> bits(const std::vector<double>& importance, double target) {
  std::vector<LayerImportance> layers;
  for (const double one : importance)
    layers.push_back({static_cast<std::int32_t>(layers.size()), one, false});
  std::vector<double> widths;
  for (const LayerAssignment& one : assign_by_importance(layers, target)) widths.push_back(one.bit_width);
  return widths;
}

TEST(ImportanceProfile, half_a_bit_a_doubling_around_the_target) {
  EXPECT_THAT(bits({1, 4}, 4), ElementsAre(3.5, 4.5));
  EXPECT_THAT(bits({1e30, 4e30}, 4), ElementsAre(3.5, 4.5));
  EXPECT_THAT(bits({3, 3, 3}, 3.5), ElementsAre(3.5, 3.5, 3.5));
  EXPECT_THAT(bits({7}, 2.25), ElementsAre(2.25));
}

TEST(ImportanceProfile, what_a_bound_takes_the_others_get) {
  // Unbounded this would be -1, 4.5 and 5: the first stays at 2 and the others share what is left.
  const auto widths = bits({std::exp2(-11), 1, 2}, 3.5);
  EXPECT_THAT(widths, ElementsAre(2, 4, 4.5));
}

TEST(ImportanceProfile, targets_outside_the_bounds_widen_them) {
  EXPECT_THAT(bits({1, 1}, 1.6), ElementsAre(1.6, 1.6));
  EXPECT_THAT(bits({1, 1}, 12), ElementsAre(12, 12));
}

TEST(ImportanceProfile, a_layer_without_importance_counts_as_the_least) {
  EXPECT_THAT(bits({0, 1, 4}, 4), ElementsAre(3.67, 3.67, 4.67));
  EXPECT_THAT(bits({0, 0}, 4), ElementsAre(4, 4));
}

TEST(ImportanceProfile, layers_are_read_from_the_names_of_entries) {
  const auto entry = [](double sum_sq) {
    ImatrixEntry one;
    one.in_features = 2;
    one.sum_sq = {sum_sq, 3 * sum_sq};
    one.counts = {2};
    return one;
  };
  Imatrix imatrix;
  imatrix.entries["blk.10.ffn_up.weight"] = entry(2);
  imatrix.entries["blk.2.attn_q.weight"] = entry(4);
  imatrix.entries["blk.2.attn_v.weight"] = entry(8);
  for (const char* other :
       {"output.weight", "blk", "blk.", "blk.3", "blk.x.a", "blk.99999999999.a", "blk.-1.a"})
    imatrix.entries[other] = entry(1);
  imatrix.super_weights.covered["blk.10.ffn_up.weight"] = {1};
  imatrix.super_weights.covered["blk.2.attn_q.weight"] = {};

  const auto layers = layer_importance(imatrix);

  ASSERT_EQ(layers.size(), 2u);
  EXPECT_EQ(layers[0].layer, 2);
  EXPECT_DOUBLE_EQ(layers[0].importance, 6);
  EXPECT_FALSE(layers[0].has_super_weights);
  EXPECT_EQ(layers[1].layer, 10);
  EXPECT_DOUBLE_EQ(layers[1].importance, 2);
  EXPECT_TRUE(layers[1].has_super_weights);
  EXPECT_EQ(assign_by_importance(layers, 3)[1].layer_name, "model.layers.10");
  EXPECT_TRUE(assign_by_importance(layers, 3)[1].is_protected);
  EXPECT_THAT(layer_importance({}), IsEmpty());
}

}  // namespace
