// Rules of the user: what they match, what they win over, and what is refused. Expectations about precedence
// are what llama-quantize does with the same options.
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/quant/type_policy.hpp"

namespace {
using namespace llmq;
using Type = GgmlType;

const MixModel kModel{"llama", 16, 4, 4, 0};

std::vector<MixTensor> tensors_of(std::uint64_t hidden, bool tied = false) {
  std::vector<MixTensor> tensors = {{"token_embd.weight", hidden, 512, 1, Type::F16}};
  if (!tied) tensors.push_back({"output.weight", hidden, 512, 1, Type::F16});
  for (int i = 0; i < 16; ++i) {
    const std::string layer = "blk." + std::to_string(i) + ".";
    tensors.push_back({layer + "attn_norm.weight", hidden, 1, 1, Type::F32});
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_down"})
      tensors.push_back({layer + name + ".weight", hidden, hidden, 1, Type::F16});
  }
  return tensors;
}

std::map<std::string, TypeChoice> choose(const char* level, const TypeRules& rules,
                                         const std::vector<MixTensor>& tensors) {
  const auto choices = choose_types(*find_file_level(level), kModel, tensors, false, rules);
  std::map<std::string, TypeChoice> by_name;
  for (std::size_t i = 0; i < tensors.size(); ++i) by_name[tensors[i].name] = choices[i];
  return by_name;
}

TypeRules by_name(std::initializer_list<const char*> rules) {
  TypeRules made;
  for (const char* rule : rules) made.by_name.push_back(parse_type_rule(rule));
  return made;
}

ExitCode code_of(const std::string& rule) {
  try {
    parse_type_rule(rule);
  } catch (const Error& error) {
    EXPECT_FALSE(error.suggestion().empty());
    return error.code();
  }
  return ExitCode::ok;
}

TEST(TypeRules, the_first_pattern_found_in_the_name_decides_in_any_case) {
  auto types = choose("Q4_K_M", by_name({"BLK\\.0\\.attn_v=q8_0", "attn_v=Q5_0", "blk.1.attn_v=Q4_0"}),
                      tensors_of(256));
  EXPECT_EQ(types["blk.0.attn_v.weight"].type, Type::Q8_0);
  EXPECT_EQ(types["blk.1.attn_v.weight"].type, Type::Q5_0);
  EXPECT_EQ(types["blk.1.attn_v.weight"].rule, 1u);
  EXPECT_FALSE(types["blk.1.attn_k.weight"].rule);
}

TEST(TypeRules, a_tensor_that_a_pattern_decides_is_not_counted_by_the_mix) {
  auto types = choose("Q4_K_S", by_name({"blk\\.0\\.attn_v=Q8_0"}), tensors_of(256));
  for (int i = 1; i < 16; ++i) {
    EXPECT_EQ(types["blk." + std::to_string(i) + ".attn_v.weight"].type, i < 5 ? Type::Q5_K : Type::Q4_K);
  }
}

TEST(TypeRules, patterns_hold_at_every_level_but_never_for_norms) {
  auto types = choose("F16", by_name({"attn=Q4_0"}), tensors_of(256));
  EXPECT_EQ(types["blk.0.attn_v.weight"].type, Type::Q4_0);
  EXPECT_EQ(types["blk.0.attn_norm.weight"].type, Type::F32);
  EXPECT_EQ(types["blk.0.ffn_down.weight"].type, Type::F16);
}

TEST(TypeRules, what_a_pattern_asks_for_falls_back_where_rows_do_not_fit) {
  auto types = choose("Q8_0", by_name({"attn_v=Q5_K"}), tensors_of(288));
  EXPECT_EQ(types["blk.0.attn_v.weight"].type, Type::Q5_1);
  EXPECT_EQ(types["blk.0.attn_v.weight"].fallback_from, Type::Q5_K);
}

TEST(TypeRules, pure_takes_the_default_type_everywhere) {
  TypeRules rules = by_name({"attn_q=Q8_0"});
  rules.pure = true;
  auto types = choose("Q4_K_M", rules, tensors_of(256));
  EXPECT_EQ(types["output.weight"].type, Type::Q4_K);
  EXPECT_EQ(types["blk.0.attn_v.weight"].type, Type::Q4_K);
  EXPECT_EQ(types["blk.0.attn_q.weight"].type, Type::Q8_0);
  EXPECT_EQ(choose("Q4_K_M", rules, tensors_of(288))["output.weight"].type, Type::Q5_0);
}

TEST(TypeRules, options_of_the_two_ends_win_over_patterns) {
  TypeRules rules = by_name({"^output=Q4_0", "token_embd=Q4_0"});
  rules.output = Type::Q8_0;
  rules.token_embd = Type::F16;
  auto types = choose("Q4_K_M", rules, tensors_of(256));
  EXPECT_EQ(types["output.weight"].type, Type::Q8_0);
  EXPECT_EQ(types["token_embd.weight"].type, Type::F16);

  rules.leave_output = true;
  types = choose("Q4_K_M", rules, tensors_of(256));
  EXPECT_FALSE(types["output.weight"].quantized);
  EXPECT_EQ(types["output.weight"].type, Type::F16);
}

TEST(TypeRules, tied_embeddings_are_the_output_unless_they_have_a_type_of_their_own) {
  TypeRules rules;
  rules.output = Type::Q8_0;
  EXPECT_EQ(choose("Q4_K_M", rules, tensors_of(256, true))["token_embd.weight"].type, Type::Q8_0);
  rules.token_embd = Type::Q4_0;
  EXPECT_EQ(choose("Q4_K_M", rules, tensors_of(256, true))["token_embd.weight"].type, Type::Q4_0);
  rules = {};
  rules.leave_output = true;
  EXPECT_EQ(choose("Q4_K_M", rules, tensors_of(256, true))["token_embd.weight"].type, Type::Q6_K);
}

TEST(TypeRules, the_last_equals_sign_divides) {
  const TypeRule rule = parse_type_rule("a(=|b)=Q6_K");
  EXPECT_EQ(rule.pattern, "a(=|b)");
  EXPECT_EQ(rule.type, Type::Q6_K);
}

TEST(TypeRules, bad_rules_are_refused_with_a_suggestion) {
  for (const char* rule :
       {"attn_v", "attn_v=", "=Q4_0", "attn_(=Q4_0", "attn_v=Q4_9", "attn_v=Q8_K", "attn_v=I32"})
    EXPECT_EQ(code_of(rule), ExitCode::invalid_arguments) << rule;
  EXPECT_EQ(code_of("[" + std::string(2000, 'a') + "]=Q4_0"), ExitCode::invalid_arguments);
}

TEST(TypeRules, the_description_tells_different_rules_apart) {
  TypeRules rules;
  EXPECT_TRUE(rules.empty());
  EXPECT_EQ(rules.description(), "");
  rules = by_name({"attn_v=q6_k", "a\"b=F16"});
  rules.pure = true;
  rules.output = Type::Q8_0;
  EXPECT_EQ(rules.description(),
            "pure; output-tensor-type=Q8_0; tensor-type \"attn_v\"=Q6_K; tensor-type \"a\\\"b\"=F16");
}

}  // namespace
