// Levels, mixes and fallbacks, replayed from the tables of docs/formats/mixes.md.
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "llmq/quant/type_policy.hpp"

namespace {
using namespace llmq;
using Type = GgmlType;

std::vector<MixTensor> llama(std::uint32_t layers, std::uint64_t hidden, bool with_output) {
  std::vector<MixTensor> tensors = {{"token_embd.weight", hidden, 2048, 1, Type::BF16},
                                    {"output_norm.weight", hidden, 1, 1, Type::F32}};
  if (with_output) tensors.push_back({"output.weight", hidden, 2048, 1, Type::BF16});
  // Backwards, because the order given must not matter.
  for (std::uint32_t i = layers; i-- > 0;) {
    for (const char* name : {"attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate",
                             "ffn_up", "ffn_down"}) {
      const bool norm = std::string(name).ends_with("_norm");
      tensors.push_back({"blk." + std::to_string(i) + "." + name + ".weight", hidden, norm ? 1 : hidden, 1,
                         norm ? Type::F32 : Type::BF16});
    }
  }
  return tensors;
}

std::map<std::string, TypeChoice> choose(const char* level, const MixModel& model,
                                         const std::vector<MixTensor>& tensors, bool imatrix = false) {
  const auto choices = choose_types(*find_file_level(level), model, tensors, imatrix);
  std::map<std::string, TypeChoice> by_name;
  for (std::size_t i = 0; i < tensors.size(); ++i) by_name[tensors[i].name] = choices[i];
  return by_name;
}

const MixModel kSixteen{"llama", 16, 8, 8, 0};

TEST(Mixes, q4_k_m_gives_more_bits_to_first_last_and_every_third) {
  auto types = choose("Q4_K_M", kSixteen, llama(16, 256, true));
  // n = 16: i < 2, i >= 14, (i - 2) mod 3 = 2
  for (const int i : {0, 1, 4, 7, 10, 13, 14, 15}) {
    EXPECT_EQ(types["blk." + std::to_string(i) + ".attn_v.weight"].type, Type::Q6_K) << i;
    EXPECT_EQ(types["blk." + std::to_string(i) + ".ffn_down.weight"].type, Type::Q6_K) << i;
  }
  for (const int i : {2, 3, 5, 6, 8, 9, 11, 12}) {
    EXPECT_EQ(types["blk." + std::to_string(i) + ".attn_v.weight"].type, Type::Q4_K) << i;
    EXPECT_EQ(types["blk." + std::to_string(i) + ".ffn_down.weight"].type, Type::Q4_K) << i;
  }
  EXPECT_EQ(types["output.weight"].type, Type::Q6_K);
  EXPECT_EQ(types["token_embd.weight"].type, Type::Q4_K);
  EXPECT_EQ(types["blk.3.attn_q.weight"].type, Type::Q4_K);
  EXPECT_FALSE(types["blk.3.attn_norm.weight"].quantized);
  EXPECT_EQ(types["blk.3.attn_norm.weight"].type, Type::F32);
}

TEST(Mixes, q4_k_s_raises_four_attn_v_and_the_first_eighth_of_ffn_down) {
  auto types = choose("Q4_K_S", kSixteen, llama(16, 256, true));
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(types["blk." + std::to_string(i) + ".attn_v.weight"].type, i < 4 ? Type::Q5_K : Type::Q4_K);
    EXPECT_EQ(types["blk." + std::to_string(i) + ".ffn_down.weight"].type, i < 2 ? Type::Q5_K : Type::Q4_K);
  }
}

TEST(Mixes, q4_0_uses_q4_1_only_with_an_imatrix) {
  EXPECT_EQ(choose("Q4_0", kSixteen, llama(16, 256, true))["blk.0.ffn_down.weight"].type, Type::Q4_0);
  EXPECT_EQ(choose("Q4_0", kSixteen, llama(16, 256, true), true)["blk.0.ffn_down.weight"].type, Type::Q4_1);
  EXPECT_EQ(choose("Q4_0", kSixteen, llama(16, 256, true), true)["blk.2.ffn_down.weight"].type, Type::Q4_0);
}

TEST(Mixes, tied_embeddings_take_the_rule_of_the_output) {
  EXPECT_EQ(choose("Q4_K_M", kSixteen, llama(16, 256, false))["token_embd.weight"].type, Type::Q6_K);
  EXPECT_EQ(choose("Q8_0", kSixteen, llama(16, 256, false))["token_embd.weight"].type, Type::Q8_0);
}

TEST(Mixes, seventy_b_and_eight_experts_spend_more_on_attn_v) {
  const MixModel seventy{"llama", 80, 64, 8, 0};
  auto types = choose("Q4_K_M", seventy, llama(80, 256, true));
  EXPECT_EQ(types["blk.10.attn_v.weight"].type, Type::Q5_K);
  EXPECT_EQ(types["blk.0.attn_v.weight"].type, Type::Q6_K);
  const MixModel experts{"llama", 16, 8, 8, 8};
  types = choose("Q4_K_M", experts, llama(16, 256, true));
  EXPECT_EQ(types["blk.3.attn_v.weight"].type, Type::Q8_0);
  EXPECT_EQ(types["blk.3.attn_k.weight"].type, Type::Q8_0);
  EXPECT_EQ(types["blk.3.attn_output.weight"].type, Type::Q5_K);
}

TEST(Fallback, rows_that_do_not_divide_follow_the_table) {
  EXPECT_EQ(fallback_type(Type::Q4_K, 288), Type::Q5_0);
  EXPECT_EQ(fallback_type(Type::Q5_K, 288), Type::Q5_1);
  EXPECT_EQ(fallback_type(Type::Q6_K, 288), Type::Q8_0);
  EXPECT_EQ(fallback_type(Type::Q2_K, 288), Type::Q4_0);
  EXPECT_EQ(fallback_type(Type::IQ4_XS, 288), Type::IQ4_NL);
  EXPECT_EQ(fallback_type(Type::Q4_K, 172), Type::F16);
  EXPECT_EQ(fallback_type(Type::Q8_0, 172), Type::F16);
  EXPECT_EQ(fallback_type(Type::Q4_K, 512), Type::Q4_K);
}

TEST(Fallback, choices_say_what_was_wanted) {
  auto types = choose("Q4_K_M", kSixteen, llama(16, 64, true));
  EXPECT_EQ(types["output.weight"].type, Type::Q8_0);
  EXPECT_FALSE(types["output.weight"].fallback_from);
  EXPECT_EQ(types["blk.3.attn_q.weight"].type, Type::Q5_0);
  EXPECT_EQ(types["blk.3.attn_q.weight"].fallback_from, Type::Q4_K);
}

TEST(Levels, plain_levels_have_no_mixture_and_some_need_an_imatrix) {
  auto types = choose("bf16", kSixteen, llama(16, 256, true));
  EXPECT_EQ(types["output.weight"].type, Type::BF16);
  EXPECT_EQ(types["blk.0.ffn_norm.weight"].type, Type::F32);
  EXPECT_EQ(find_file_level("Q4_K_X"), nullptr);
  EXPECT_TRUE(requires_imatrix(Type::IQ2_XS, *find_file_level("IQ2_XS"), "blk.0.attn_q.weight"));
  EXPECT_FALSE(requires_imatrix(Type::IQ2_XS, *find_file_level("IQ2_XS"), "output.weight"));
  EXPECT_TRUE(requires_imatrix(Type::Q2_K, *find_file_level("Q2_K_S"), "blk.0.attn_q.weight"));
  EXPECT_FALSE(requires_imatrix(Type::Q2_K, *find_file_level("Q2_K"), "blk.0.attn_q.weight"));
}

}  // namespace
