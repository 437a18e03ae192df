// Scores of positions and their summary, against hand calculation.
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/quality/scores.hpp"
#include "llmq/quality/tensor_error.hpp"

namespace {
using namespace llmq;

TEST(ScoredRange, second_half_without_the_last_position) {
  EXPECT_EQ(scored_range(512).begin, 256u);
  EXPECT_EQ(scored_range(512).end, 511u);
  EXPECT_EQ(scored_range(2).begin, scored_range(2).end);
}

TEST(ScorePosition, two_token_distribution_by_hand) {
  // p = (3/4, 1/4), q = (1/2, 1/2), shifted by constants that must not matter.
  const std::vector<float> original = {std::log(3.0F) + 5.0F, 5.0F};
  const std::vector<float> quantized = {-2.0F, -2.0F};

  const PositionScore score = score_position(original, quantized, 0);

  EXPECT_NEAR(score.nll_original, -std::log(0.75), 1e-6);
  EXPECT_NEAR(score.nll_quantized, std::log(2.0), 1e-6);
  EXPECT_NEAR(score.kld, 0.75 * std::log(0.75 / 0.5) + 0.25 * std::log(0.25 / 0.5), 1e-6);
  EXPECT_NEAR(score.delta_p, -0.25, 1e-6);
  EXPECT_EQ(score.same_top, 1u);
}

TEST(ScorePosition, equal_models_have_no_divergence_even_with_large_logits) {
  std::vector<float> logits;
  for (int k = 0; k < 1000; ++k) logits.push_back(static_cast<float>(std::sin(k) * 40));

  const PositionScore score = score_position(logits, logits, 3);

  EXPECT_NEAR(score.kld, 0, 1e-12);
  EXPECT_EQ(score.nll_original, score.nll_quantized);
  EXPECT_THROW(score_position(logits, logits, 1000), InternalError);
}

TEST(SummarizeScores, means_errors_and_percentiles) {
  std::vector<PositionScore> scores;
  for (int i = 0; i <= 100; ++i) {
    PositionScore score;
    score.nll_original = 2.0;
    score.nll_quantized = 2.0 + 0.01 * (i % 2);
    score.kld = i;
    score.delta_p = 0.1;
    score.same_top = i < 50 ? 1 : 0;
    scores.push_back(score);
  }
  const QualityMetrics metrics = summarize_scores(scores);

  EXPECT_NEAR(metrics.perplexity_original, std::exp(2.0), 1e-12);
  EXPECT_NEAR(metrics.ln_ratio, 0.5 / 101, 1e-12);
  EXPECT_NEAR(metrics.kld.mean, 50, 1e-12);
  EXPECT_NEAR(metrics.kld.error, std::sqrt((3350.0 - 2500.0) / 100), 1e-9);
  EXPECT_EQ(metrics.kld_median, 50);
  EXPECT_EQ(metrics.kld_p99, 99);
  EXPECT_EQ(metrics.kld_max, 100);
  EXPECT_NEAR(metrics.same_top_pct, 100 * 50.0 / 101, 1e-9);
  EXPECT_NEAR(metrics.delta_p_rms_pct, 10, 1e-9);
}

TEST(ErrorSums, pieces_add_up_to_the_whole) {
  const std::vector<float> x = {1, 2, 3, 4};
  const std::vector<float> y = {1, 2.5F, 3, 3};
  ErrorSums whole = measure_error(std::span(x).first(2), std::span(y).first(2));
  whole.add(measure_error(std::span(x).last(2), std::span(y).last(2)));
  EXPECT_NEAR(whole.mse(), (0.25 + 1) / 4, 1e-12);
  EXPECT_EQ(whole.max_error, 1.0);
  EXPECT_NEAR(whole.cosine(), (1 + 5 + 9 + 12) / std::sqrt(30.0 * (1 + 6.25 + 9 + 9)), 1e-12);
}

}  // namespace
