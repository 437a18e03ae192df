// Names and patterns of tensors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llmq/allocate/tensor_names.hpp"

namespace {
using namespace llmq;

TEST(TensorNames, a_star_is_any_run) {
  EXPECT_TRUE(matches_pattern("a*c", "abbc"));
  EXPECT_TRUE(matches_pattern("a*c", "ac"));
  EXPECT_TRUE(matches_pattern("*", ""));
  EXPECT_TRUE(matches_pattern("*a*b*", "xaxbx"));
  EXPECT_TRUE(matches_pattern("", ""));
  EXPECT_FALSE(matches_pattern("a*c", "abcd"));
  EXPECT_FALSE(matches_pattern("a", ""));
  EXPECT_FALSE(matches_pattern("", "a"));
}

TEST(TensorNames, roles_and_modules) {
  EXPECT_EQ(tensor_role("blk.12.attn_v.weight"), "attn_v");
  EXPECT_EQ(tensor_role("blk.12.attn_q.bias"), "attn_q");
  EXPECT_EQ(tensor_role("output.weight"), "output");
  EXPECT_EQ(tensor_role("blk."), "blk.");
  EXPECT_EQ(module_name("blk.12.attn_output.weight"), "model.layers.12.self_attn.o_proj");
  EXPECT_EQ(module_name("blk.0.ffn_down_exps.weight"), "model.layers.0.mlp.experts.down_proj");
  EXPECT_EQ(module_name("blk.0.attn_q_norm.weight"), "model.layers.0.self_attn.q_norm");
  EXPECT_EQ(module_name("token_embd.weight"), "model.embed_tokens");
  EXPECT_EQ(module_name("output.weight"), "lm_head");
}

TEST(TensorNames, a_tensor_answers_to_its_parents) {
  EXPECT_THAT(
      tensor_names("blk.0.attn_q.weight"),
      testing::ElementsAre("blk", "blk.0", "blk.0.attn_q", "blk.0.attn_q.weight", "model", "model.layers",
                           "model.layers.0", "model.layers.0.self_attn", "model.layers.0.self_attn.q_proj"));
}

}  // namespace
