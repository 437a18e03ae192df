// Scores of positions and their summary, against hand calculation.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/quality/departures.hpp"
#include "llmq/quality/quantile_sketch.hpp"
#include "llmq/quality/score_summary.hpp"
#include "llmq/quality/scores.hpp"
#include "llmq/quality/tensor_error.hpp"

#include "support/every_target.hpp"

namespace {
using namespace llmq;

TEST(ScoredRange, second_half_without_the_last_position) {
  EXPECT_EQ(scored_range(512).begin, 256u);
  EXPECT_EQ(scored_range(512).end, 511u);
  EXPECT_EQ(scored_range(2).begin, scored_range(2).end);
}

PositionScore score_of(std::vector<float> original, const std::vector<float>& quantized, std::int32_t next) {
  const OriginalPrediction prediction = take_original(original, next);
  return score_position(prediction, original, quantized, next);
}

TEST(ScorePosition, two_token_distribution_by_hand) {
  // p = (3/4, 1/4), q = (1/2, 1/2), shifted by constants that must not matter.
  const PositionScore score = score_of({std::log(3.0F) + 5.0F, 5.0F}, {-2.0F, -2.0F}, 0);

  EXPECT_NEAR(score.nll_original, -std::log(0.75), 1e-6);
  EXPECT_NEAR(score.nll_quantized, std::log(2.0), 1e-6);
  EXPECT_NEAR(score.kld, 0.75 * std::log(0.75 / 0.5) + 0.25 * std::log(0.25 / 0.5), 1e-6);
  EXPECT_NEAR(score.delta_p, -0.25, 1e-6);
  EXPECT_TRUE(score.same_top());
}

std::vector<float> some_logits(std::size_t count, double scale, double phase) {
  std::vector<float> logits;
  for (std::size_t k = 0; k < count; ++k)
    logits.push_back(static_cast<float>(std::sin(static_cast<double>(k) * phase) * scale));
  return logits;
}

TEST(ScorePosition, equal_models_have_no_divergence_even_with_large_logits) {
  std::vector<float> logits = some_logits(1000, 40, 1);
  const PositionScore score = score_of(logits, logits, 3);

  EXPECT_EQ(score.kld, 0);
  EXPECT_EQ(score.nll_original, score.nll_quantized);
  EXPECT_THROW(take_original(logits, 1000), InternalError);
}

TEST(ScorePosition, agrees_with_plain_double_precision_at_any_length) {
  for (const std::size_t count : {2u, 7u, 8u, 9u, 511u, 512u, 513u, 5003u}) {
    const std::vector<float> z = some_logits(count, 9, 0.7), w = some_logits(count, 7, 0.71);
    double zs = 0, ws = 0;
    for (std::size_t k = 0; k < count; ++k)
      zs += std::exp(static_cast<double>(z[k])), ws += std::exp(static_cast<double>(w[k]));
    double kld = 0;
    for (std::size_t k = 0; k < count; ++k) {
      const double p = std::exp(static_cast<double>(z[k])) / zs, q = std::exp(static_cast<double>(w[k])) / ws;
      kld += p * std::log(p / q);
    }
    const PositionScore score = score_of(z, w, 1);
    EXPECT_NEAR(score.kld, kld, 1e-6 * std::max(1.0, kld)) << count;
    EXPECT_NEAR(score.nll_quantized, std::log(ws) - static_cast<double>(w[1]), 1e-6) << count;
    EXPECT_EQ(score.top_original, std::max_element(z.begin(), z.end()) - z.begin()) << count;
    EXPECT_EQ(score.top_quantized, std::max_element(w.begin(), w.end()) - w.begin()) << count;
  }
}

TEST(ScorePosition, the_same_bits_on_every_instruction_set) {
  const std::vector<float> z = some_logits(1203, 9, 0.7), w = some_logits(1203, 7, 0.71);
  std::optional<PositionScore> first;
  test::for_every_target([&](const char* target) {
    const PositionScore score = score_of(z, w, 5);
    if (!first) first = score;
    EXPECT_EQ(score.kld, first->kld) << target;
    EXPECT_EQ(score.nll_original, first->nll_original) << target;
    EXPECT_EQ(score.nll_quantized, first->nll_quantized) << target;
  });
}

TEST(ScorePosition, a_bad_logit_shows) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  for (const float bad : {nan, inf, -inf}) {
    for (const std::size_t place : {0u, 5u, 599u}) {
      std::vector<float> damaged = some_logits(600, 5, 0.3);
      damaged[place] = bad;
      EXPECT_FALSE(std::isfinite(score_of(some_logits(600, 5, 0.3), damaged, 7).kld))
          << bad << " at " << place;
      EXPECT_FALSE(take_original(damaged, 7).finite()) << bad << " at " << place;
    }
  }
}

std::vector<PositionScore> hundred_and_one() {
  std::vector<PositionScore> scores;
  for (int i = 0; i <= 100; ++i) {
    PositionScore score;
    score.nll_original = 2.0;
    score.nll_quantized = 2.0 + 0.01 * (i % 2);
    score.kld = i;
    score.delta_p = 0.1;
    score.top_quantized = i < 50 ? 0 : 1;
    scores.push_back(score);
  }
  return scores;
}

TEST(ScoreSummary, means_errors_and_percentiles) {
  ScoreSummary summary;
  summary.add_chunk(hundred_and_one());
  const QualityMetrics metrics = summary.metrics();

  EXPECT_NEAR(metrics.perplexity_original, std::exp(2.0), 1e-12);
  EXPECT_NEAR(metrics.ln_ratio, 0.5 / 101, 1e-12);
  EXPECT_NEAR(metrics.kld.mean, 50, 1e-12);
  EXPECT_NEAR(metrics.kld.error, std::sqrt((3350.0 - 2500.0) / 100), 1e-9);
  EXPECT_NEAR(metrics.kld_median, 50, 50 * 0x1p-12);
  EXPECT_NEAR(metrics.kld_p99, 99, 99 * 0x1p-12);
  EXPECT_EQ(metrics.kld_max, 100);
  EXPECT_NEAR(metrics.same_top_pct, 100 * 50.0 / 101, 1e-9);
  EXPECT_NEAR(metrics.delta_p_rms_pct, 10, 1e-9);
  EXPECT_NEAR(metrics.delta_p_pct.mean, 10, 1e-9);
  EXPECT_THROW(ScoreSummary().metrics(), InternalError);
}

std::vector<std::vector<PositionScore>> random_chunks(std::size_t count) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> divergence(-4, 2);
  std::uniform_real_distribution<double> uniform(0, 4);
  std::vector<std::vector<PositionScore>> chunks(count, std::vector<PositionScore>(61));
  for (auto& chunk : chunks) {
    for (PositionScore& score : chunk) {
      score.kld = divergence(random);
      score.nll_original = uniform(random);
      score.nll_quantized = score.nll_original + 0.1 * uniform(random);
      score.delta_p = std::exp(-score.nll_quantized) - std::exp(-score.nll_original);
      score.top_quantized = static_cast<std::int32_t>(random() % 2);
    }
  }
  return chunks;
}

TEST(ScoreSummary, any_order_grouping_and_way_between_ranks_gives_the_same) {
  const auto chunks = random_chunks(40);
  ScoreSummary whole;
  for (const auto& chunk : chunks) whole.add_chunk(chunk);
  for (const std::size_t ranks : {2u, 3u, 7u}) {
    std::vector<ScoreSummary> parts(ranks);
    for (std::size_t i = chunks.size(); i-- > 0;) parts[i % ranks].add_chunk(chunks[i]);
    ScoreSummary joined;
    for (const ScoreSummary& part : parts) joined.merge(ScoreSummary::from_words(part.words()));
    EXPECT_EQ(joined, whole) << ranks;
  }
}

TEST(ScoreSummary, percentiles_are_those_of_sorted_values_within_their_promise) {
  ScoreSummary summary;
  std::vector<double> sorted;
  for (const auto& chunk : random_chunks(40)) {
    summary.add_chunk(chunk);
    for (const PositionScore& score : chunk) sorted.push_back(score.kld);
  }
  std::sort(sorted.begin(), sorted.end());
  const QualityMetrics metrics = summary.metrics();
  const auto exact = [&](double fraction) {
    const double position = fraction * static_cast<double>(sorted.size() - 1);
    const auto low = static_cast<std::size_t>(position);
    const double weight = position - static_cast<double>(low);
    return sorted[low] * (1 - weight) + sorted[low + 1] * weight;
  };
  EXPECT_NEAR(metrics.kld_median, exact(0.5), exact(0.5) * 0x1p-11);
  EXPECT_NEAR(metrics.kld_p99, exact(0.99), exact(0.99) * 0x1p-11);
  EXPECT_NEAR(metrics.kld_p999, exact(0.999), exact(0.999) * 0x1p-11);
  EXPECT_EQ(metrics.kld_max, sorted.back());
}

TEST(ScoreSummary, parts_of_the_positions_are_told_apart) {
  std::vector<PositionScore> chunk(255);
  for (std::size_t i = 0; i < chunk.size(); ++i) chunk[i].kld = i < 128 ? 1 : 3;
  ScoreSummary summary;
  summary.add_chunk(chunk);
  const auto parts = summary.along_positions(512);
  ASSERT_EQ(parts.size(), kPositionBins);
  EXPECT_EQ(parts.front().begin, 256);
  EXPECT_EQ(parts.back().end, 511);
  EXPECT_EQ(parts.front().kld.mean, 1);
  EXPECT_EQ(parts.back().kld.mean, 3);
}

TEST(QuantileSketch, order_of_signs_and_sizes) {
  QuantileSketch sketch;
  for (const double value : {-3.0, 2.0, 0.0, -1e-30, 1e-9, -0.5, 700.0}) sketch.add(value);
  EXPECT_EQ(sketch.quantile(0), -3);
  EXPECT_NEAR(sketch.quantile(1.0 / 6), -0.5, 0.5 * 0x1p-11);
  EXPECT_EQ(sketch.quantile(0.5), 0);
  EXPECT_NEAR(sketch.quantile(4.0 / 6), 1e-9, 1e-9 * 0x1p-11);
  EXPECT_EQ(sketch.quantile(1), 700);
  EXPECT_THROW(sketch.add(std::nan("")), InternalError);
}

TEST(Sentences, end_at_marks_and_at_their_longest) {
  std::vector<std::uint8_t> ends = {0, 1};
  std::vector<std::int32_t> tokens(200, 0);
  tokens[20] = tokens[23] = 1;  // the second is too short
  const auto sentences = split_sentences(tokens, 10, 100, ends);
  ASSERT_EQ(sentences.size(), 3u);
  EXPECT_EQ(sentences[0].begin, 10u);
  EXPECT_EQ(sentences[0].end, 21u);
  EXPECT_EQ(sentences[1].begin, 24u);
  EXPECT_EQ(sentences[1].end, 24 + kMostSentenceTokens);
  EXPECT_EQ(sentences[2].end, 100u);
}

TEST(Sentences, the_worst_are_kept_whatever_the_order) {
  std::vector<Sentence> all(100);
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].sample = i;
    all[i].kld = static_cast<double>((i * 37) % 50);  // each twice
  }
  WorstSentences forward, backward;
  for (std::size_t i = 0; i < all.size(); ++i) {
    forward.add(all[i]);
    backward.add(all[all.size() - 1 - i]);
  }
  ASSERT_EQ(forward.sentences().size(), kKeptSentences);
  for (std::size_t i = 0; i < kKeptSentences; ++i) {
    EXPECT_EQ(forward.sentences()[i].sample, backward.sentences()[i].sample);
    EXPECT_EQ(forward.sentences()[i].kld, 49.0 - static_cast<double>(i / 2));
  }
}

TEST(ErrorSums, importance_weighs_columns) {
  const std::vector<float> x = {1, 2, 3, 4}, y = {1, 1, 3, 2};
  const std::vector<double> importance = {100, 1};
  // (1 + 4) / (100 (1 + 9) + 4 + 16)
  EXPECT_NEAR(measure_error(x, y, importance).weighted_error(), 5.0 / 1020, 1e-12);
  EXPECT_EQ(measure_error(x, y).weighted_error(), 0);
  EXPECT_THROW(measure_error(x, y, std::vector<double>(3, 1)), InternalError);
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
