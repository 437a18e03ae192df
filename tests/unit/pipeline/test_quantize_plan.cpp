// The plan of a quantize run on a real model: which tensors require importance, and what the user's rules
// leave in the plan and in the file's head.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/pipeline/quantize_plan.hpp"

namespace {
using namespace llmq;

class Plans : public testing::Test {
 protected:
  Plans() : source_(open_model(std::filesystem::path(LLMQ_TEST_DATA) / "pebble")) {
    for (const ModelTensor& tensor : source_->tensors()) {
      if (tensor.layer < 0 || tensor.n_dims < 2) continue;
      ImatrixEntry entry;
      entry.in_features = tensor.ne[0];
      entry.sum_sq.assign(tensor.ne[0], 1);
      entry.counts = {1};
      imatrix_.entries.emplace(tensor.name, entry);
    }
  }

  QuantizePlan plan(const char* level, const Imatrix* imatrix, const PlanChanges& changes = {}) const {
    return plan_quantize(*source_, Vocabulary{}, *find_file_level(level), imatrix, "f00d", changes);
  }

  /// Code and message of the plan's failure; ok when there is none.
  std::pair<ExitCode, std::string> failure(const char* level, const Imatrix* imatrix,
                                           const PlanChanges& changes = {}) const {
    try {
      (void)plan(level, imatrix, changes);
    } catch (const Error& error) {
      EXPECT_FALSE(error.suggestion().empty());
      return {error.code(), error.what()};
    }
    return {ExitCode::ok, ""};
  }

  std::unique_ptr<ModelSource> source_;
  Imatrix imatrix_;  // covers every matrix of the layers
};

PlanChanges forced(const char* pattern, GgmlType type) {
  PlanChanges changes;
  changes.types.by_name.push_back({pattern, type, std::regex(pattern)});
  return changes;
}

TEST_F(Plans, levels_that_require_importance_name_every_tensor_without) {
  for (const char* level : {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "Q2_K_S"}) {
    const auto [code, message] = failure(level, nullptr);
    EXPECT_EQ(code, ExitCode::imatrix) << level;
    for (const ModelTensor& tensor : source_->tensors()) {
      if (!tensor.name.ends_with("attn_q.weight")) continue;
      EXPECT_THAT(message, testing::HasSubstr(tensor.name)) << level;
    }
    EXPECT_THAT(message, testing::Not(testing::HasSubstr("token_embd"))) << level;
    EXPECT_THAT(message, testing::Not(testing::HasSubstr(" output.weight"))) << level;
  }
}

TEST_F(Plans, levels_that_do_not_require_importance_are_not_held_up) {
  for (const char* level :
       {"Q2_K", "Q3_K_S", "IQ3_S", "IQ3_M", "IQ4_NL", "IQ4_XS", "TQ1_0", "TQ2_0", "Q4_K_M"})
    EXPECT_NE(failure(level, nullptr).first, ExitCode::imatrix) << level;
}

TEST_F(Plans, an_imatrix_that_lacks_a_tensor_is_refused_for_that_tensor) {
  EXPECT_NE(failure("IQ2_XS", &imatrix_).first, ExitCode::imatrix);
  imatrix_.entries.erase("blk.2.ffn_up.weight");
  const auto [code, message] = failure("IQ2_XS", &imatrix_);
  EXPECT_EQ(code, ExitCode::imatrix);
  EXPECT_THAT(message, testing::HasSubstr("blk.2.ffn_up.weight (IQ2_XS)"));
  EXPECT_THAT(message, testing::Not(testing::HasSubstr("blk.1.ffn_up.weight")));
  EXPECT_EQ(plan("Q4_K_M", &imatrix_).uncovered, std::vector<std::string>{"blk.2.ffn_up.weight"});
}

TEST_F(Plans, a_rule_that_forces_such_a_type_requires_importance_for_its_tensors) {
  const PlanChanges changes = forced("blk\\.1\\.attn_v", GgmlType::IQ2_XXS);
  const auto [code, message] = failure("Q8_0", nullptr, changes);
  EXPECT_EQ(code, ExitCode::imatrix);
  EXPECT_THAT(message, testing::HasSubstr("blk.1.attn_v.weight (IQ2_XXS)"));
  EXPECT_THAT(message, testing::Not(testing::HasSubstr("blk.0.")));
  EXPECT_NE(failure("Q8_0", &imatrix_, changes).first, ExitCode::imatrix);
  // The output never requires any.
  EXPECT_NE(failure("Q8_0", nullptr, forced("^output", GgmlType::IQ2_XXS)).first, ExitCode::imatrix);
}

TEST_F(Plans, rules_are_told_in_the_head_and_unused_ones_are_listed) {
  PlanChanges changes = forced("attn_v", GgmlType::Q6_K);
  changes.types.by_name.push_back(forced("no_such_tensor", GgmlType::Q6_K).types.by_name.front());
  changes.types.by_name.push_back(forced("blk\\.0\\.attn_v", GgmlType::Q6_K).types.by_name.front());
  changes.metadata.push_back(parse_metadata_override("general.name=str:Other"));
  const QuantizePlan made = plan("Q8_0", nullptr, changes);

  EXPECT_EQ(made.unused_patterns, (std::vector<std::string>{"no_such_tensor", "blk\\.0\\.attn_v"}));
  EXPECT_EQ(made.header.metadata.string("llm_quantize.type_rules"), changes.types.description());
  EXPECT_EQ(made.header.metadata.string("llm_quantize.overridden_keys"), "general.name");
  EXPECT_EQ(made.header.metadata.string("general.name"), "Other");
  EXPECT_FALSE(plan("Q8_0", nullptr).header.metadata.contains("llm_quantize.type_rules"));
}

TEST_F(Plans, a_file_is_its_head_its_tensors_and_less_than_a_block_of_padding_each) {
  for (const char* level : {"Q8_0", "Q4_K_M", "F16"}) {
    const QuantizePlan made = plan(level, nullptr, forced("attn_q", GgmlType::Q5_0));
    std::uint64_t bytes = made.header.data_start;
    for (const PlannedTensor& tensor : made.tensors) bytes += tensor.size_bytes;
    EXPECT_LE(bytes, made.file_bytes);
    EXPECT_LT(made.file_bytes - bytes, 32 * made.tensors.size());
  }
}

}  // namespace
