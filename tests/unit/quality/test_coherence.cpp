// The choice of tokens against its definition, and the score against hand-made continuations.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/quality/coherence.hpp"

namespace {
using namespace llmq;

/// Logits of a model that is unsure: `spread` is their standard deviation, nearly.
std::vector<float> some_logits(std::size_t count, std::uint64_t seed, double spread) {
  std::vector<float> logits(count);
  for (std::size_t k = 0; k < count; ++k)
    logits[k] = static_cast<float>(spread * gumbel_noise({seed + 1000, 0}, static_cast<std::int32_t>(k)));
  return logits;
}

TEST(Coherence, noise_is_a_gumbel_variable_of_its_place) {
  double sum = 0, squares = 0;
  std::vector<double> seen;
  for (std::uint64_t prompt = 0; prompt < 20; ++prompt) {
    for (std::uint64_t step = 0; step < 20; ++step) {
      for (std::int32_t token = 0; token < 250; ++token) {
        const double noise = gumbel_noise({prompt, step}, token);
        seen.push_back(noise);
        sum += noise;
        squares += noise * noise;
      }
    }
  }
  const auto count = static_cast<double>(seen.size());
  const double mean = sum / count;
  EXPECT_NEAR(mean, 0.57722, 0.02);                           // Euler's constant; 5 standard errors
  EXPECT_NEAR(squares / count - mean * mean, 1.64493, 0.06);  // pi^2 / 6
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());  // places do not share noise
  EXPECT_EQ(gumbel_noise({3, 5}, 7), gumbel_noise({3, 5}, 7));
}

TEST(Coherence, a_sampled_token_has_the_largest_sum_of_logit_and_noise) {
  for (std::uint64_t step = 0; step < 300; ++step) {
    const std::vector<float> logits = some_logits(500, step, step % 3 == 0 ? 0.1 : 3);
    std::size_t wanted = 0;
    double largest = -std::numeric_limits<double>::infinity();
    for (std::size_t k = 0; k < logits.size(); ++k) {
      const double value =
          static_cast<double>(logits[k]) + gumbel_noise({1, step}, static_cast<std::int32_t>(k));
      if (value > largest) largest = value, wanted = k;
    }
    EXPECT_EQ(pick_token(logits, WritingMode::sampled, {1, step}), static_cast<std::int32_t>(wanted));
  }
}

TEST(Coherence, sampling_follows_the_probabilities) {
  const std::vector<float> logits = {0.0F, std::log(2.0F), std::log(5.0F)};  // 1/8, 2/8, 5/8
  std::vector<double> counts(3);
  for (std::uint64_t step = 0; step < 20000; ++step)
    counts[static_cast<std::size_t>(*pick_token(logits, WritingMode::sampled, {9, step}))] += 1.0 / 20000;
  EXPECT_NEAR(counts[0], 0.125, 0.012);
  EXPECT_NEAR(counts[1], 0.25, 0.015);
  EXPECT_NEAR(counts[2], 0.625, 0.017);
}

TEST(Coherence, greedy_takes_the_first_of_equal_logits) {
  EXPECT_EQ(pick_token(std::vector<float>{1, 3, 2, 3}, WritingMode::greedy, {}), 1);
}

TEST(Coherence, bad_logits_are_never_picked_from) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInf, -kInf}) {
    for (const WritingMode mode : {WritingMode::greedy, WritingMode::sampled})
      EXPECT_EQ(pick_token(std::vector<float>{1, bad, 3}, mode, {}), std::nullopt);
  }
}

TEST(Coherence, the_normalizer_makes_probabilities) {
  const std::vector<float> logits = {100.0F, 100.0F, 100.0F + std::log(2.0F)};
  EXPECT_NEAR(100 - log_normalizer(logits), std::log(0.25), 1e-6);
}

TEST(Coherence, repetition_counts_distinct_grams) {
  EXPECT_DOUBLE_EQ(distinct_share(std::vector<std::int32_t>{1, 2, 3, 4, 1, 2, 3, 4, 1, 2}), 4.0 / 7);
  EXPECT_DOUBLE_EQ(distinct_share(std::vector<std::int32_t>(64, 5)), 1.0 / 61);
  EXPECT_DOUBLE_EQ(distinct_share(std::vector<std::int32_t>{1, 2, 3}), 1);
}

TEST(Coherence, a_model_like_its_original_scores_exactly_one) {
  std::vector<CoherenceToken> tokens(128);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const double log_p = -0.1 * static_cast<double>(i % 13);
    const auto id = static_cast<std::int32_t>(i * i % 50);
    tokens[i] = {log_p, log_p, log_p, id, id, id, 0};
  }
  const CoherenceFigures figures = coherence_figures(tokens, 64);
  EXPECT_EQ(figures.score, 1);
  EXPECT_EQ(figures.likelihood, 1);
  EXPECT_EQ(figures.repetition, 1);
  EXPECT_EQ(figures.agreement, 1);
  EXPECT_EQ(figures.tokens, 128u);
  EXPECT_EQ(figures.mean_log_p_quantized, figures.mean_log_p_original);
}

TEST(Coherence, figures_follow_their_formulas) {
  // Two continuations of four tokens: one gram each, so D = 1. A token better than the original's own gains
  // nothing.
  std::vector<CoherenceToken> tokens(8, {-1, -1, -2, 1, 1, 1, 0});
  tokens[2] = {-5, -1, -2, 7, 8, 1, 0};
  tokens[6] = {-1, -3, -2, 7, 8, 1, 0};
  const CoherenceFigures figures = coherence_figures(tokens, 4);
  EXPECT_DOUBLE_EQ(figures.likelihood, std::exp(-0.5));
  EXPECT_DOUBLE_EQ(figures.agreement, 0.75);
  EXPECT_DOUBLE_EQ(figures.mean_log_p_quantized, -1.5);
  EXPECT_DOUBLE_EQ(figures.mean_log_p_original, -2);
  EXPECT_DOUBLE_EQ(figures.score, figures.likelihood);
}

TEST(Coherence, a_model_in_a_loop_pays_for_it) {
  std::vector<CoherenceToken> tokens(64);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i].original = static_cast<std::int32_t>(i);
  const CoherenceFigures figures = coherence_figures(tokens, 64);
  EXPECT_DOUBLE_EQ(figures.distinct_quantized, 1.0 / 61);
  EXPECT_DOUBLE_EQ(figures.distinct_original, 1);
  EXPECT_DOUBLE_EQ(figures.score, 1.0 / 61);
}

TEST(Coherence, parts_of_continuations_are_refused) {
  const std::vector<CoherenceToken> tokens(7);
  EXPECT_THROW(coherence_figures(tokens, 4), InternalError);
  EXPECT_THROW(coherence_figures({}, 4), InternalError);
}

}  // namespace
