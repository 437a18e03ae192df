// Predictions go through what was measured, rise with the error, and pass on between layers.
#include <cmath>

#include <gtest/gtest.h>

#include "llmq/allocate/loss_model.hpp"
#include "llmq/core/error.hpp"

namespace {
using namespace llmq;

AtlasTensor tensor(std::vector<AtlasProbe> probes) {
  AtlasTensor made;
  made.in_features = 256;
  made.rows = made.sampled_rows = 4;
  made.power = 2;
  made.cells = {{GgmlType::Q8_0, 0.0002, 0.01, 1088},
                {GgmlType::Q2_K, 0.2, 0.3, 336},
                {GgmlType::Q4_K, 0.02, 0.1, 576},
                {GgmlType::F32, 0, 0, 4096}};
  made.probes = std::move(probes);
  return made;
}

TEST(LossModel, goes_through_the_measured_points_and_between_them) {
  Atlas atlas;
  atlas.tensors["blk.0.attn_q.weight"] = tensor({{GgmlType::Q2_K, 0.5, 0}, {GgmlType::Q4_K, 0.05, 0}});
  const LossModel model(atlas);
  EXPECT_TRUE(model.measured());
  EXPECT_NEAR(model.loss("blk.0.attn_q.weight", GgmlType::Q2_K), 0.5, 1e-12);
  EXPECT_NEAR(model.loss("blk.0.attn_q.weight", GgmlType::Q4_K), 0.05, 1e-12);
  EXPECT_NEAR(model.loss("blk.0.attn_q.weight", GgmlType::Q8_0), 0.0005, 1e-12);
  EXPECT_EQ(model.loss("blk.0.attn_q.weight", GgmlType::F32), 0);
}

TEST(LossModel, never_falls_where_the_error_rises) {
  Atlas atlas;
  atlas.tensors["output.weight"] = tensor({{GgmlType::Q2_K, 0.001, 0}, {GgmlType::Q4_K, 0.05, 0}});
  const LossModel model(atlas);
  EXPECT_GE(model.loss("output.weight", GgmlType::Q2_K), model.loss("output.weight", GgmlType::Q4_K));
  EXPECT_LT(model.loss("output.weight", GgmlType::Q8_0), model.loss("output.weight", GgmlType::Q4_K));
}

TEST(LossModel, a_layer_that_was_not_measured_lies_between_its_neighbours) {
  Atlas atlas;
  atlas.tensors["blk.1.ffn_up.weight"] = tensor({{GgmlType::Q4_K, 0.01, 0}});
  atlas.tensors["blk.5.ffn_up.weight"] = tensor({{GgmlType::Q4_K, 0.09, 0}});
  for (const int layer : {0, 3, 9})
    atlas.tensors["blk." + std::to_string(layer) + ".ffn_up.weight"] = tensor({});
  const LossModel model(atlas);
  EXPECT_NEAR(model.loss("blk.3.ffn_up.weight", GgmlType::Q4_K), 0.03, 1e-12);
  EXPECT_NEAR(model.loss("blk.0.ffn_up.weight", GgmlType::Q4_K), 0.01, 1e-12);
  EXPECT_NEAR(model.loss("blk.9.ffn_up.weight", GgmlType::Q4_K), 0.09, 1e-12);
}

TEST(LossModel, without_measurements_the_relative_error_counts) {
  Atlas atlas;
  atlas.tensors["blk.0.ffn_up.weight"] = tensor({});
  const LossModel model(atlas);
  EXPECT_FALSE(model.measured());
  EXPECT_DOUBLE_EQ(model.loss("blk.0.ffn_up.weight", GgmlType::Q2_K), 0.1);
  EXPECT_THROW(model.loss("blk.0.ffn_up.weight", GgmlType::Q6_K), InternalError);
}

TEST(LossModel, a_divergence_of_zero_is_taken_for_a_small_one) {
  Atlas atlas;
  atlas.tensors["blk.0.ffn_up.weight"] = tensor({{GgmlType::Q2_K, 0, 0}, {GgmlType::Q4_K, 0, 0}});
  EXPECT_GT(LossModel(atlas).loss("blk.0.ffn_up.weight", GgmlType::Q2_K), 0);
}

TEST(TensorRole, is_what_stands_behind_the_layer) {
  EXPECT_EQ(role_of("blk.13.ffn_down.weight").role, "ffn_down.weight");
  EXPECT_EQ(role_of("blk.13.ffn_down.weight").layer, 13);
  EXPECT_EQ(role_of("output.weight").layer, -1);
  for (const char* odd : {"blk.", "blk.x.y", "blk.3", "blk.99999999999999.y"})
    EXPECT_EQ(role_of(odd).role, odd);
}

}  // namespace
