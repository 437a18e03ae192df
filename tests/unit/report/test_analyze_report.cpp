// Figures of the report, by hand.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/report/analyze_report.hpp"

#include "unit/report/hand_made.hpp"

namespace {
using namespace llmq;
using testing::ElementsAre;

const TensorReport& tensor(const AnalyzeReport& report, const std::string& name) {
  for (const TensorReport& one : report.tensors)
    if (one.name == name) return one;
  throw InternalError("no tensor " + name);
}

TEST(AnalyzeReport, orders_tensors_by_layer_and_role_and_names_what_was_measured) {
  const AnalyzeReport report = make_analyze_report(hand_made(), small_spec());
  std::vector<std::string> names;
  for (const TensorReport& one : report.tensors) names.push_back(one.name);
  EXPECT_THAT(names, ElementsAre("blk.0.attn_q.weight", "blk.0.ffn_down_exps.weight", "blk.1.attn_k.weight",
                                 "output.weight"));
  EXPECT_THAT(report.roles, ElementsAre("attn_q", "attn_k", "ffn_down_exps"));
  EXPECT_EQ(report.tensors[2].layer, 1U);
  EXPECT_EQ(report.tensors[2].role, "attn_k");
  EXPECT_FALSE(report.tensors[3].layer);
  EXPECT_EQ(report.tensors[3].role, "output");
  EXPECT_EQ(report.content_hash, hand_made().content_hash());
  EXPECT_FALSE(report.super_weights_searched);
}

TEST(AnalyzeReport, figures_of_a_plain_tensor) {
  const AnalyzeReport report = make_analyze_report(hand_made(), small_spec());
  const TensorReport& q = tensor(report, "blk.0.attn_q.weight");
  EXPECT_DOUBLE_EQ(q.importance.min, 1);
  EXPECT_DOUBLE_EQ(q.importance.median, 2.5);
  EXPECT_DOUBLE_EQ(q.importance.mean, 51.5);
  EXPECT_DOUBLE_EQ(q.importance.max, 200);
  EXPECT_EQ(q.tokens, 10U);
  EXPECT_FALSE(q.score);
  EXPECT_FALSE(q.experts);
  ASSERT_EQ(q.outliers.count, 1U);  // 200 is 80 times 2.5
  EXPECT_EQ(q.outliers.top[0].column, 3U);
  EXPECT_DOUBLE_EQ(q.outliers.top[0].ratio, 80);
  // All fourth powers 800,310 over all squares 2060, of 40 values.
  EXPECT_DOUBLE_EQ(q.kurtosis.value(), 800310.0 * 40 / (2060.0 * 2060.0));
  EXPECT_EQ(q.dead_columns, 0U);
  // Variances 1, 4, 0, 1 times the squared mean over 10 tokens.
  EXPECT_NEAR(q.error.value().median, std::sqrt(0.1), 1e-12);
  EXPECT_NEAR(q.error.value().p95, std::sqrt(0.4), 1e-12);
}

TEST(AnalyzeReport, experts_without_tokens_are_counted_and_kept_out_of_figures) {
  const AnalyzeReport report = make_analyze_report(hand_made(), small_spec());
  const TensorReport& experts = tensor(report, "blk.0.ffn_down_exps.weight");
  EXPECT_THAT(experts.experts.value().tokens, ElementsAre(4U, 0U, 2U));
  EXPECT_EQ(experts.experts->without_tokens, 1U);
  EXPECT_EQ(experts.tokens, 6U);
  EXPECT_EQ(experts.dead_columns, 1U);
  EXPECT_DOUBLE_EQ(experts.importance.min, 0);  // of 1, 0 and 1, 3
  EXPECT_DOUBLE_EQ(experts.importance.median, 1);
  EXPECT_DOUBLE_EQ(experts.importance.mean, 1.25);
  EXPECT_DOUBLE_EQ(experts.importance.max, 3);
  EXPECT_FALSE(experts.kurtosis);  // a foreign file without fourth powers
  EXPECT_FALSE(experts.error);
}

TEST(AnalyzeReport, an_outlier_of_an_expert_names_expert_and_column) {
  Imatrix imatrix;
  ImatrixEntry entry = expert_entry();
  entry.sum_sq = {4, 4, 0, 0, 2, 400};  // importances 1, 1, 1, 200
  imatrix.entries["blk.0.ffn_up_exps.weight"] = entry;
  const TensorReport one = make_analyze_report(imatrix, small_spec()).tensors.at(0);
  ASSERT_EQ(one.outliers.top.size(), 1U);
  EXPECT_EQ(one.outliers.top[0].matrix, 2U);
  EXPECT_EQ(one.outliers.top[0].column, 1U);
  EXPECT_DOUBLE_EQ(one.outliers.top[0].ratio, 200);
}

TEST(AnalyzeReport, five_largest_outliers_of_all_and_none_out_of_nothing) {
  Imatrix imatrix;
  ImatrixEntry entry;
  entry.in_features = 20;
  entry.counts = {1};
  entry.sum_sq.assign(20, 1.0);
  for (std::size_t j = 0; j < 7; ++j) entry.sum_sq[2 * j] = 100 + static_cast<double>(j);
  imatrix.entries["blk.0.attn_q.weight"] = entry;
  entry.sum_sq.assign(20, 0.0);
  entry.sum_sq[5] = 9;
  imatrix.entries["blk.0.attn_k.weight"] = entry;
  const AnalyzeReport report = make_analyze_report(imatrix, small_spec());
  const OutlierColumns& outliers = report.tensors[0].outliers;
  EXPECT_EQ(outliers.count, 7U);
  ASSERT_EQ(outliers.top.size(), kShownOutliers);
  EXPECT_EQ(outliers.top[0].column, 12U);
  EXPECT_EQ(outliers.top[4].column, 4U);
  EXPECT_EQ(report.tensors[1].outliers.count, 0U);
  EXPECT_EQ(report.tensors[1].dead_columns, 19U);
}

TEST(AnalyzeReport, gradient_methods_give_scores_a_sample) {
  const AnalyzeReport report = make_analyze_report(hand_made(), small_spec());
  const TensorReport& k = tensor(report, "blk.1.attn_k.weight");
  EXPECT_DOUBLE_EQ(k.score.value(), 1.5);
  EXPECT_DOUBLE_EQ(k.importance.min, 1);
  EXPECT_DOUBLE_EQ(k.importance.max, 2);
  EXPECT_DOUBLE_EQ(k.rank_value(), 1.5);
}

TEST(AnalyzeReport, errors_grow_as_one_over_the_root_of_the_samples) {
  const AnalyzeReport report = make_analyze_report(hand_made(), small_spec());
  ASSERT_EQ(report.role_errors.size(), 1U);  // output.weight is in no layer
  EXPECT_EQ(report.role_errors[0].role, "attn_q");
  EXPECT_DOUBLE_EQ(predicted_error(0.5, 0.25), 1.0);
  EXPECT_DOUBLE_EQ(predicted_error(0.5, 1.0), 0.5);
}

TEST(AnalyzeReport, super_weights_and_covered_ones_are_where_they_were_found) {
  Imatrix imatrix = hand_made();
  add_super_weights(imatrix);
  const AnalyzeReport report = make_analyze_report(imatrix, small_spec());
  EXPECT_TRUE(report.super_weights_searched);
  EXPECT_EQ(report.total_protected, 4U);
  EXPECT_EQ(tensor(report, "blk.0.attn_q.weight").covered_weights, 3U);
  EXPECT_EQ(tensor(report, "blk.1.attn_k.weight").covered_weights, 0U);
  ASSERT_EQ(report.spikes.size(), 2U);
  EXPECT_EQ(layer_of(report.spikes[0].tensor), 1U);
}

TEST(AnalyzeReport, json_holds_the_same_figures) {
  Imatrix imatrix = hand_made();
  add_super_weights(imatrix);
  const auto json = nlohmann::json::parse(analyze_report_json(make_analyze_report(imatrix, small_spec())));
  EXPECT_EQ(json["model"]["name"], "small");
  EXPECT_EQ(json["super_weights"]["spikes"][0]["loss_change"], 0.75);
  const auto& q = json["tensors"][0];
  EXPECT_EQ(q["importance"]["median"], 2.5);
  EXPECT_EQ(q["outlier_columns"]["top"][0]["ratio"], 80.0);
  EXPECT_TRUE(q["score"].is_null());
  EXPECT_EQ(q["covered_weights"], 3);
  EXPECT_NEAR(q["relative_standard_error"]["predicted_medians"][1].get<double>(), 2 * std::sqrt(0.1), 1e-12);
  EXPECT_EQ(json["tensors"][1]["experts"]["without_tokens"], 1);
  EXPECT_EQ(json["tensors"][2]["score"], 1.5);
  EXPECT_TRUE(json["tensors"][3]["layer"].is_null());
}

}  // namespace
